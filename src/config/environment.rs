//! The environment laid over the configuration: `FANFARE__SECTION__KEY`, one underscore pair per level.

use toml::{Table, Value};

/// What every variable of ours starts with; `FANFARE_URL` and the like do not.
const PREFIX: &str = "FANFARE__";

/// One variable, as found.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    text: String,
    /// Taken literally: its value would read as a number or so, but its key wants a text.
    as_text: bool,
}

impl Variable {
    /// From now on its value is a text, whatever it looks like; false if it was one before.
    pub(super) fn read_as_text(&mut self) -> bool {
        !std::mem::replace(&mut self.as_text, true)
    }

    fn value(&self) -> Value {
        if self.as_text {
            return Value::String(self.text.clone());
        }
        // TOML has no value outside a document, so one is made around it; a value with a line break could bring a second key.
        let document =
            if self.text.contains('\n') { None } else { format!("value = {}", self.text).parse::<Table>().ok() };
        document
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(self.text.clone()))
    }
}

/// Our variables, in the order of their names, so that `…__0__…` comes before `…__1__…`.
pub(super) fn variables(all: impl IntoIterator<Item = (String, String)>) -> Vec<Variable> {
    let mut found: Vec<Variable> = all
        .into_iter()
        .filter_map(|(name, text)| {
            let path = name.strip_prefix(PREFIX)?.split("__").map(str::to_ascii_lowercase).collect();
            Some(Variable { name, path, text, as_text: false })
        })
        .collect();
    found.sort_by(|a, b| a.name.len().cmp(&b.name.len()).then_with(|| a.name.cmp(&b.name)));
    found
}

/// Sets the variable's key in `table`; on failure the reason.
pub(super) fn apply(table: &mut Table, variable: &Variable) -> Result<(), String> {
    let mut root = Value::Table(std::mem::take(table));
    let outcome = set(&mut root, &variable.path, variable.value());
    if let Value::Table(back) = root {
        *table = back;
    }
    outcome
}

fn set(place: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *place = value;
        return Ok(());
    };
    let next = match place {
        Value::Table(table) => table.entry(first.as_str()).or_insert_with(|| Value::Table(Table::new())),
        Value::Array(list) => {
            let index: usize = first.parse().map_err(|_| format!("`{first}` is no index of a list"))?;
            if index > list.len() {
                return Err(format!("the list has {} entries: the next index is {}", list.len(), list.len()));
            }
            if index == list.len() {
                list.push(Value::Table(Table::new()));
            }
            &mut list[index]
        }
        _ => return Err(format!("`{first}` would be a key inside of a plain value")),
    };
    set(next, rest, value)
}
