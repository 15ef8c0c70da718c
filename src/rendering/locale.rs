//! A language with a region's ways to write dates, numbers and money, by the data of CLDR.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock};

use fixed_decimal::{Decimal, SignedRoundingMode, UnsignedRoundingMode};
use icu_datetime::DateTimeFormatter;
use icu_datetime::fieldsets::builder::{DateFields, FieldSetBuilder, ZoneStyle};
use icu_datetime::fieldsets::enums::CompositeFieldSet;
use icu_datetime::options::{Length, TimePrecision};
use icu_decimal::DecimalFormatter;
use icu_experimental::dimension::currency::CurrencyType;
use icu_experimental::dimension::currency::formatter::CurrencyFormatter;
use icu_experimental::dimension::percent::formatter::PercentFormatter;
use icu_list::ListFormatter;
use icu_list::options::ListFormatterOptions;
use icu_locale::{LanguageIdentifier, LocaleCanonicalizer, LocaleDirectionality, LocaleExpander};
use icu_plurals::{PluralCategory, PluralRules, PluralRulesOptions};
use icu_time::zone::models::AtTime;
use icu_time::{TimeZoneInfo, ZonedDateTime};

/// What a message is written in. Made once per tag: what it needs of CLDR is read when it is first asked for, and kept.
pub(crate) struct Locale {
    tag: Box<str>,
    chain: Vec<Box<str>>,
    icu: icu_locale::Locale,
    is_right_to_left: bool,
    decimal: OnceLock<Option<DecimalFormatter>>,
    percent: OnceLock<Option<PercentFormatter<DecimalFormatter>>>,
    plural: OnceLock<Option<PluralRules>>,
    list: OnceLock<Option<ListFormatter>>,
    /// By [`TimeFormat::index`].
    times: [OnceLock<Option<DateTimeFormatter<CompositeFieldSet>>>; TimeFormat::COUNT],
    currencies: Mutex<HashMap<CurrencyType, Arc<CurrencyFormatter<DecimalFormatter>>>>,
}

impl std::fmt::Debug for Locale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.tag)
    }
}

/// Which of date and time are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeFields {
    Date,
    Time,
    DateTime,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Short,
    Medium,
    Long,
    Full,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TimeFormat {
    pub(super) fields: TimeFields,
    pub(super) style: Style,
}

/// A date and a time of day in a zone, as ICU takes it.
pub(super) type LocalTime = ZonedDateTime<icu_calendar::Iso, TimeZoneInfo<AtTime>>;

/// The locales that were asked for, and how many are kept: CLDR has some 700.
static LOCALES: LazyLock<RwLock<HashMap<Box<str>, Arc<Locale>>>> = LazyLock::new(RwLock::default);
const LOCALES_MAX: usize = 1000;

/// The currencies kept per locale; ISO 4217 has some 180.
const CURRENCIES_MAX: usize = 200;

impl Locale {
    /// By its language tag (BCP 47), in any case, with `-` or `_`; `None`: it is none. Extensions and variants are left out.
    pub(crate) fn get(tag: &str) -> Option<Arc<Self>> {
        if let Some(locale) = LOCALES.read().unwrap_or_else(PoisonError::into_inner).get(tag) {
            return Some(Arc::clone(locale));
        }
        let id = identifier(tag)?;
        let name: Box<str> = id.to_string().into();
        let known = LOCALES.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        // Made outside of the lock; of two that are made at once, one is kept.
        let locale = known.unwrap_or_else(|| Arc::new(Self::new(id)));
        let mut locales = LOCALES.write().unwrap_or_else(PoisonError::into_inner);
        while locales.len() + 2 > LOCALES_MAX {
            // Any one goes: whoever asks for a thousand languages must not keep others from theirs.
            let Some(any) = locales.keys().next().cloned() else { break };
            locales.remove(&any);
        }
        let locale = locales.entry(name).or_insert(locale).clone();
        locales.insert(tag.into(), locale.clone());
        Some(locale)
    }

    /// Which there always is.
    pub(super) fn english() -> Arc<Self> {
        Self::get("en").expect("CLDR has English")
    }

    fn new(id: LanguageIdentifier) -> Self {
        Self {
            tag: id.to_string().into(),
            chain: fallback_chain(&id.to_string()),
            is_right_to_left: LocaleDirectionality::new_extended().is_right_to_left(&id),
            icu: id.into(),
            decimal: OnceLock::new(),
            percent: OnceLock::new(),
            plural: OnceLock::new(),
            list: OnceLock::new(),
            times: [const { OnceLock::new() }; TimeFormat::COUNT],
            currencies: Mutex::default(),
        }
    }

    /// Its language tag, in the usual spelling.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// The tags under which to look for texts, as [`fallback_chain`].
    pub(super) fn chain(&self) -> &[Box<str>] {
        &self.chain
    }

    pub(crate) fn is_right_to_left(&self) -> bool {
        self.is_right_to_left
    }

    /// A number with as many decimals as it has.
    pub(super) fn number(&self, number: &Decimal) -> Option<String> {
        let formatter =
            self.decimal.get_or_init(|| DecimalFormatter::try_new((&self.icu).into(), Default::default()).ok());
        Some(formatter.as_ref()?.format(number).to_string())
    }

    /// `number`: 25 is 25 %.
    pub(super) fn percent(&self, number: &Decimal) -> Option<String> {
        let formatter =
            self.percent.get_or_init(|| PercentFormatter::try_new((&self.icu).into(), Default::default()).ok());
        Some(formatter.as_ref()?.format(number).to_string())
    }

    /// An amount with the decimals of its currency.
    pub(super) fn currency(&self, amount: &Decimal, currency: CurrencyType) -> Option<String> {
        let known = self.currencies.lock().unwrap_or_else(PoisonError::into_inner).get(&currency).cloned();
        let formatter = match known {
            Some(formatter) => formatter,
            None => {
                let formatter = CurrencyFormatter::try_new_symbol((&self.icu).into(), currency, Default::default());
                let formatter = Arc::new(formatter.ok()?);
                let mut currencies = self.currencies.lock().unwrap_or_else(PoisonError::into_inner);
                if currencies.len() < CURRENCIES_MAX {
                    currencies.insert(currency, Arc::clone(&formatter));
                }
                formatter
            }
        };
        Some(formatter.format_fixed_decimal(amount).to_string())
    }

    /// The name of the cardinal plural category: `one`, `few`.
    pub(super) fn plural(&self, number: &Decimal) -> Option<&'static str> {
        let rules =
            self.plural.get_or_init(|| PluralRules::try_new((&self.icu).into(), PluralRulesOptions::default()).ok());
        Some(match rules.as_ref()?.category_for(number) {
            PluralCategory::Zero => "zero",
            PluralCategory::One => "one",
            PluralCategory::Two => "two",
            PluralCategory::Few => "few",
            PluralCategory::Many => "many",
            PluralCategory::Other => "other",
        })
    }

    /// "A, B and C".
    pub(super) fn list(&self, items: &[String]) -> Option<String> {
        let formatter = self
            .list
            .get_or_init(|| ListFormatter::try_new_and((&self.icu).into(), ListFormatterOptions::default()).ok());
        Some(formatter.as_ref()?.format(items.iter()).to_string())
    }

    pub(super) fn time(&self, time: &LocalTime, format: TimeFormat) -> Option<String> {
        let formatter = self.times[format.index()].get_or_init(|| {
            let mut builder = FieldSetBuilder::new();
            format.set(&mut builder);
            DateTimeFormatter::try_new((&self.icu).into(), builder.build_composite().ok()?).ok()
        });
        Some(formatter.as_ref()?.format(time).to_string())
    }
}

impl TimeFormat {
    const COUNT: usize = 12;

    fn index(self) -> usize {
        self.fields as usize * 4 + self.style as usize
    }

    /// The lengths of CLDR. A time has seconds from `medium` on; with `long` it has its zone in their place, and so does a date with
    /// a time in `full`.
    fn set(self, builder: &mut FieldSetBuilder) {
        let (fields, style) = (self.fields, self.style);
        if fields != TimeFields::Time {
            builder.date_fields = Some(if style == Style::Full { DateFields::YMDE } else { DateFields::YMD });
        }
        builder.length = Some(match style {
            Style::Short => Length::Short,
            Style::Medium => Length::Medium,
            Style::Long | Style::Full => Length::Long,
        });
        if fields == TimeFields::Date {
            return;
        }
        let has_seconds = fields == TimeFields::Time && matches!(style, Style::Medium | Style::Full);
        builder.time_precision = Some(if has_seconds { TimePrecision::Second } else { TimePrecision::Minute });
        builder.zone_style = match (fields, style) {
            (TimeFields::Time, Style::Full) => Some(ZoneStyle::SpecificLong),
            (TimeFields::Time, Style::Long) | (_, Style::Full) => Some(ZoneStyle::SpecificShort),
            _ => None,
        };
    }
}

/// The tags under which to look for texts in this language, best first: `zh-Hant-TW`, `zh-Hant`, `zh`. A tag without a
/// script gets the one that its region writes, so that `zh-TW` finds `zh-Hant` and never `zh-Hans`; a mere language ends
/// with its usual script. Empty: it is no tag.
pub(crate) fn fallback_chain(tag: &str) -> Vec<Box<str>> {
    let Some(wish) = identifier(tag) else { return Vec::new() };
    let mut full = wish.clone();
    LocaleExpander::new_extended().maximize(&mut full);
    let script = wish.script.or(full.script);
    let language = wish.language;
    let of = |script, region| LanguageIdentifier { language, script, region, variants: Default::default() };
    let region = wish.region;
    let chain = match (wish.script, region) {
        (None, None) => vec![of(None, None), of(script, None)],
        _ => vec![wish.clone(), of(script, region), of(script, None), of(None, None)],
    };
    let mut tags: Vec<Box<str>> = Vec::with_capacity(chain.len());
    for id in chain {
        let tag: Box<str> = id.to_string().into();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// The longest tag that is looked at: RFC 5646, section 4.4.1, wants 35 bytes at least.
const TAG_BYTES_MAX: usize = 64;

/// Language, script and region of a tag, in their present names: `iw` is `he`.
fn identifier(tag: &str) -> Option<LanguageIdentifier> {
    if tag.len() > TAG_BYTES_MAX {
        return None;
    }
    let mut locale = icu_locale::Locale::try_from_str(&tag.replace('_', "-")).ok()?;
    LocaleCanonicalizer::new_common().canonicalize(&mut locale);
    let id = locale.id;
    if id.language.is_unknown() {
        return None;
    }
    Some(LanguageIdentifier { variants: Default::default(), ..id })
}

/// Rounds half away from zero, as amounts are.
pub(super) fn round(number: &mut Decimal, decimals: i16) {
    number.round_with_mode(-decimals, SignedRoundingMode::Unsigned(UnsignedRoundingMode::HalfExpand));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_falls_back_to_the_script_of_its_region_and_to_its_language() {
        for (tag, expected) in [
            ("zh-Hant-TW", "zh-Hant-TW zh-Hant zh"),
            ("zh-TW", "zh-TW zh-Hant-TW zh-Hant zh"),
            ("zh-HK", "zh-HK zh-Hant-HK zh-Hant zh"),
            ("zh-CN", "zh-CN zh-Hans-CN zh-Hans zh"),
            ("zh_cn", "zh-CN zh-Hans-CN zh-Hans zh"),
            ("zh", "zh zh-Hans"),
            ("zh-Hant", "zh-Hant zh"),
            ("sr-RS", "sr-RS sr-Cyrl-RS sr-Cyrl sr"),
            ("en-GB", "en-GB en-Latn-GB en-Latn en"),
            ("en", "en en-Latn"),
            ("iw-IL", "he-IL he-Hebr-IL he-Hebr he"),
            ("de-1996", "de de-Latn"),
            ("en-u-nu-thai", "en en-Latn"),
            ("", ""),
            ("not a tag", ""),
            ("und", ""),
        ] {
            assert_eq!(fallback_chain(tag).join(" "), expected, "{tag}");
        }
        assert!(fallback_chain(&"en-".repeat(1000)).is_empty());
    }

    #[test]
    fn a_locale_knows_its_tag_and_where_its_lines_begin() {
        for (tag, expected, is_right_to_left) in [
            ("en-us", "en-US", false),
            ("AR", "ar", true),
            ("he-IL", "he-IL", true),
            ("ur", "ur", true),
            ("az-Arab", "az-Arab", true),
        ] {
            let locale = Locale::get(tag).expect(tag);
            assert_eq!((locale.tag(), locale.is_right_to_left()), (expected, is_right_to_left));
        }
        assert!(Locale::get("not a tag").is_none());
        assert!(Arc::ptr_eq(&Locale::get("de").expect("a tag"), &Locale::get("DE").expect("a tag")));
    }
}
