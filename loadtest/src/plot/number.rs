//! Numbers for people: three digits that matter, and a letter for what is large.

/// As short as it can be without hiding a difference one would care about: `0.25`, `12.5`, `1,250`, `12.5 k`, `3.1 M`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let (scaled, letter) = match value.abs() {
        size if size >= 1e12 => (value / 1e12, " T"),
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let size = scaled.abs();
    let text = if size >= 1000.0 {
        let whole = scaled.round() as i64;
        format!("{},{:03}", whole / 1000, whole.abs() % 1000)
    } else if size >= 100.0 || size == 0.0 {
        format!("{scaled:.0}")
    } else {
        // Three digits, wherever the first of them stands; nothing that is measured here is smaller than a millionth.
        let decimals = (2 - size.log10().floor() as i32).clamp(0, 8) as usize;
        let text = format!("{scaled:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    format!("{text}{letter}")
}
