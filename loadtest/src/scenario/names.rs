//! The nearest name to one that does not exist.

/// What to add to an error that says ``unknown field `x`, expected one of `a`, `b` ``: nothing where it says something else.
pub(super) fn nearest(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(given) = names.next() else { return String::new() };
    match names.min_by_key(|name| distance(given, name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => String::new(),
    }
}

/// How many letters must be changed, added or left out to make one word of another (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *against);
            diagonal = row[index + 1];
            row[index + 1] = changed.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[other.len()]
}
