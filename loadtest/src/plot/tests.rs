use super::axis::Axis;
use super::*;

#[test]
fn a_number_keeps_the_digits_that_matter() {
    let cases = [
        (0.0, "0"),
        (0.25, "0.25"),
        (0.001_234, "0.00123"),
        (12.5, "12.5"),
        (99.96, "100"),
        (1250.0, "1,250"),
        (12_500.0, "12.5 k"),
        (3_100_000.0, "3.1 M"),
        (-40.0, "-40"),
        (f64::NAN, "–"),
    ];
    for (value, expected) in cases {
        assert_eq!(number(value), expected, "{value}");
    }
}

#[test]
fn ticks_are_round_and_cover_the_values() {
    for (low, high) in [(0.0, 7.3), (3.0, 1999.0), (-5.0, 5.0), (0.0, 0.0031), (250.0, 250.0)] {
        let axis = Axis::of([low, high].into_iter(), false, true).rounded(6);
        let ticks = axis.ticks(6);
        assert!((2..=9).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
        for value in [low, high] {
            let place = axis.place(value).expect("a number has a place");
            assert!((-1e-9..=1.0 + 1e-9).contains(&place), "{value} of {low} to {high} at {place}");
        }
    }
}

#[test]
fn a_logarithmic_axis_has_decades_and_no_place_for_nothing() {
    let axis = Axis::of([0.0, 0.3, 4000.0].into_iter(), true, false);
    assert_eq!(axis.ticks(8), [0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    assert_eq!(axis.place(0.0), None);
    assert!((axis.place(10.0).expect("a place") - 0.4).abs() < 1e-9);
}

#[test]
fn a_line_is_interrupted_where_there_is_no_value() {
    let points = [(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 2.0)];
    let svg = Plot::new("t").line("a", &points).svg();
    let path = svg.split("<path").nth(1).expect("a path");
    assert_eq!(path.matches('M').count(), 2, "{path}");
}

#[test]
fn a_plot_of_nothing_is_a_plot() {
    let svg = Plot::new("nothing").line("a", &[]).band("b", &[]).points("c", &[]).log_y().level(3.0, "bar").svg();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn a_page_takes_texts_as_they_are_and_fetches_nothing() {
    let plot = Plot::new("<script>").x("s & more").mark(0.0, 1.0, "\"out\"").line("<b>", &[(0.0, 1.0), (2.0, 3.0)]);
    let page =
        Page::new("a <i>").text("<u>").table(&["x", "y"], &[vec!["<td>".into(), "1".into()]]).section(&plot.svg());
    let html = page.html();
    for bad in ["<script", "<i>", "<u>", "<b>", "http://", "https://", "url("] {
        assert!(!html.contains(bad), "{bad} in {html}");
    }
    assert!(html.contains("a &lt;i&gt;") && html.contains("&quot;out&quot;"));
}
