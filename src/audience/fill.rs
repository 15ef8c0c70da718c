//! Texts of a rule that are filled from the event: plain text, nothing is escaped and nothing computed.

use std::fmt::Write as _;

use serde_json::Value;

use super::declared::{self, Declared};
use super::field::{Field, Found, Happened};
use super::json::hint;
use crate::intake::FieldProblem;

/// Pieces of one text: what it is made of is bounded with it, and what comes out by the field it is for.
const PIECES_MAX: usize = 32;

/// What may stand between the braces besides a path below `data.`.
const NAMES: &[&str] = &["user_id", "subject", "id", "type"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FillText {
    pieces: Box<[Piece]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Field(Field),
    Id,
    Type,
}

impl FillText {
    /// Reads one; an error says what is wrong with it.
    pub(super) fn read(text: &str, schema: Option<&Value>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let Some((name, after)) = behind.split_once("}}") else {
                return Err("`{{` is not closed by `}}`".to_owned());
            };
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.into()));
            }
            pieces.push(piece(name.trim(), schema)?);
            rest = after;
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(rest.into()));
        }
        if pieces.len() > PIECES_MAX {
            return Err(format!("has more than {PIECES_MAX} pieces"));
        }
        Ok(Self { pieces: pieces.into() })
    }

    /// The text of an event, or what is missing in it.
    pub(super) fn fill(&self, happened: Happened<'_>) -> Result<String, FieldProblem> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Id => text.push_str(&happened.event.id),
                Piece::Type => text.push_str(&happened.event.event_type),
                Piece::Field(field) => match field.of(happened) {
                    Some(Found::Text(found)) => text.push_str(found),
                    Some(Found::Value(Value::String(found))) => text.push_str(found),
                    // To write to a text never fails.
                    Some(Found::Value(Value::Number(number))) => _ = write!(text, "{number}"),
                    Some(Found::Value(Value::Bool(is_true))) => _ = write!(text, "{is_true}"),
                    Some(Found::Value(_)) => {
                        let detail = "must be a text, a number, true or false: the rule puts it into a text";
                        return Err(FieldProblem::new(field.pointer(), detail));
                    }
                    None => return Err(FieldProblem::new(field.pointer(), "is missing, and the rule needs it")),
                },
            }
        }
        Ok(text)
    }
}

fn piece(name: &str, schema: Option<&Value>) -> Result<Piece, String> {
    match name {
        "user_id" => return Ok(Piece::Field(Field::UserId)),
        "subject" => return Ok(Piece::Field(Field::Subject)),
        "id" => return Ok(Piece::Id),
        "type" => return Ok(Piece::Type),
        _ => {}
    }
    let Some(path) = name.strip_prefix("data.") else {
        let shown: String = name.chars().take(80).collect();
        return Err(format!(
            "`{shown}` is nothing that an event has: write {{{{data.name}}}}, or one of {}{}",
            NAMES.join(", "),
            hint(&shown, NAMES)
        ));
    };
    let field = Field::below_data(path).map_err(|detail| format!("`{path}` {detail}"))?;
    if let (Some(schema), Field::Data(path)) = (schema, &field)
        && let Declared::Never { name, known } = declared::declared(schema, path)
    {
        let has = if known.is_empty() { String::new() } else { format!(": it has {}", known.join(", ")) };
        return Err(format!("the event type has no field `{name}` there{has}{}", hint(name, &known)));
    }
    Ok(Piece::Field(field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audience::testing::event;

    #[test]
    fn a_text_is_filled_with_what_the_event_holds() {
        let event = event("a.b", r#"{"name":"Ann <b>","order":{"number":7,"paid":true},"list":["x"]}"#);
        let data = serde_json::from_str(&event.data).expect("valid");
        let happened = Happened { event: &event, data: &data };
        let check = |text: &str, wanted: &str| {
            assert_eq!(FillText::read(text, None).expect(text).fill(happened).expect(text), wanted);
        };
        check("", "");
        check("plain } text", "plain } text");
        check("{{data.name}}", "Ann <b>");
        check("o:{{ data.order.number }}:{{data.order.paid}}!", "o:7:true!");
        check("{{type}} {{id}} {{user_id}} {{data.list.0}}", "a.b e1 alice x");
        for (text, pointer) in
            [("{{data.none.x}}", "/data/none/x"), ("{{data.order}}", "/data/order"), ("{{subject}}", "/subject")]
        {
            let problem = FillText::read(text, None).expect(text).fill(happened).expect_err(text);
            assert_eq!(problem.pointer, pointer);
            assert!(!problem.detail.contains("Ann"));
        }
    }

    #[test]
    fn a_text_that_can_never_be_filled_is_refused() {
        let schema = json!({"properties": {"name": {"type": "string"}}, "additionalProperties": false});
        for (text, words) in [
            ("{{data.name", "not closed"),
            ("{{user}}", "is nothing that an event has"),
            ("{{userid}}", "did you mean `user_id`"),
            ("{{data.}}", "names with dots"),
            ("{{data.nmae}}", "did you mean `name`"),
        ] {
            let detail = FillText::read(text, Some(&schema)).expect_err(text);
            assert!(detail.contains(words), "{detail}");
        }
    }
}
