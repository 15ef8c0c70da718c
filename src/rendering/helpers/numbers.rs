//! Numbers, money, plural forms, lists: as the language of the message writes them.

use fixed_decimal::Decimal;
use handlebars::RenderError;
use icu_experimental::dimension::currency::CurrencyType;
use serde_json::Value;

use super::super::locale::round;
use super::budget::{spend, spend_on};
use super::{Args, Made, text};

/// The longest text that is read as a number.
const NUMBER_BYTES_MAX: usize = 40;

/// The highest and, below zero, the lowest power of ten a number may have.
const POWER_MAX: i16 = 40;

/// The decimals of a number that was not asked for more or less, as in JavaScript's `Intl`.
const DECIMALS: i16 = 3;

const DECIMALS_MAX: i64 = 20;

/// `{{format_number n decimals=2}}`; without `decimals` it has up to three.
pub(super) fn format_number(args: &Args<'_, '_>) -> Made {
    let value = args.value(0)?;
    let number = decimals(args, number(args, value)?, DECIMALS)?;
    let written = args.setting()?.locale.number(&number);
    args.formatted(written).map(Value::String)
}

/// `{{format_percent 0.25}}` is 25 %.
pub(super) fn format_percent(args: &Args<'_, '_>) -> Made {
    let value = args.value(0)?;
    let mut number = number(args, value)?;
    number.multiply_pow10(2);
    // 0.25 would become 025.
    number.absolute.trim_start();
    let number = decimals(args, number, 0)?;
    let written = args.setting()?.locale.percent(&number);
    args.formatted(written).map(Value::String)
}

/// `{{format_currency amount "EUR"}}`
pub(super) fn format_currency(args: &Args<'_, '_>) -> Made {
    let (value, code) = (args.value(0)?, args.text(1)?);
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    let currency = code.to_ascii_uppercase().parse::<CurrencyType>();
    let (true, Ok(currency)) = (is_code, currency) else {
        return args.refuse("takes the three letters of a currency (ISO 4217) as its second value");
    };
    let written = args.setting()?.locale.currency(&number(args, value)?, currency);
    args.formatted(written).map(Value::String)
}

/// `{{plural n none="no items" one="# item" other="# items"}}`: the text for the number, with the number for `#`.
pub(super) fn plural(args: &Args<'_, '_>) -> Made {
    let value = args.value(0)?;
    let number = number(args, value)?;
    let rounded = decimals(args, number.clone(), DECIMALS)?;
    let none = args.named("none").filter(|_| number.absolute.is_zero());
    let chosen = match none {
        Some(none) => none,
        None => {
            let category = args.setting()?.locale.plural(&rounded).unwrap_or("other");
            match args.named(category).or_else(|| args.named("other")) {
                Some(chosen) => chosen,
                None => return args.refuse("needs a text for `other=`"),
            }
        }
    };
    spend_on(chosen)?;
    let chosen = text(chosen);
    if !chosen.contains('#') {
        return Ok(Value::String(chosen));
    }
    let written = args.formatted(args.setting()?.locale.number(&rounded))?;
    Ok(Value::String(chosen.replacen('#', &written, 8)))
}

/// `{{format_list names}}`: "A, B and C".
pub(super) fn format_list(args: &Args<'_, '_>) -> Made {
    let value = args.value(0)?;
    let Value::Array(items) = value else { return args.refuse("takes a list") };
    let items: Vec<String> = items.iter().map(text).collect();
    spend(items.len())?;
    let written = args.setting()?.locale.list(&items);
    args.formatted(written).map(Value::String)
}

/// A number, or a text that is one.
fn number(args: &Args<'_, '_>, value: &Value) -> Result<Decimal, RenderError> {
    let written = match value {
        Value::Number(_) => text(value),
        Value::String(text) if text.len() <= NUMBER_BYTES_MAX => text.trim().to_owned(),
        _ => return args.refuse("takes a number"),
    };
    let number = (written.len() <= NUMBER_BYTES_MAX).then(|| Decimal::try_from_str(&written).ok()).flatten();
    let is_fit = |number: &Decimal| {
        let range = number.absolute.magnitude_range();
        *range.end() <= POWER_MAX && *range.start() >= -POWER_MAX
    };
    match number {
        Some(number) if is_fit(&number) => Ok(number),
        Some(_) => args.refuse("takes a number of a common size"),
        None => args.refuse("takes a number"),
    }
}

/// Rounds to `decimals=`, or to at most `most` decimals.
fn decimals(args: &Args<'_, '_>, mut number: Decimal, most: i16) -> Result<Decimal, RenderError> {
    match args.named("decimals").map(Value::as_i64) {
        None => {
            round(&mut number, most);
            number.absolute.trim_end();
        }
        Some(Some(decimals @ 0..=DECIMALS_MAX)) => {
            let decimals = decimals as i16;
            round(&mut number, decimals);
            number.absolute.pad_end(-decimals);
        }
        Some(_) => return args.refuse("takes 0 to 20 for `decimals=`"),
    }
    Ok(number)
}
