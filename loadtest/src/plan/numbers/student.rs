//! Student's distribution: how many standard errors an interval of 95 % reaches to either side.

/// By degrees of freedom from 1 on.
const TABLE: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// With so many degrees of freedom (rounded down); none below one.
pub(super) fn quantile(degrees: f64) -> Option<f64> {
    const NORMAL: f64 = 1.959_964;
    if degrees.is_nan() || degrees < 1.0 {
        return None;
    }
    if let Some(known) = TABLE.get(degrees as usize - 1) {
        return Some(*known);
    }
    // Fisher's series in 1/degrees; above 30 its error is below 0.0001.
    let cube = NORMAL.powi(3);
    let first = (cube + NORMAL) / 4.0;
    let second = (5.0 * NORMAL.powi(5) + 16.0 * cube + 3.0 * NORMAL) / 96.0;
    Some(NORMAL + first / degrees + second / (degrees * degrees))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, expected) in
            [(1.0, 12.706), (2.9, 4.303), (30.0, 2.042), (31.0, 2.040), (60.0, 2.000), (1e9, 1.960)]
        {
            let found = quantile(degrees).expect("there are degrees of freedom");
            assert!((found - expected).abs() < 0.001, "{degrees}: {found}");
        }
        for degrees in [0.0, 0.99, -3.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(quantile(degrees), None, "{degrees}");
        }
    }
}
