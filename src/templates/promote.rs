//! The end of an experiment.

use crate::domain::{CONTROL_VARIANT, PartSources, PushSource, TemplateSource};

/// The template with the parts of the variant as its own, and without the experiment. `control` has none: the template stays as
/// it is. `None`: it has no such variant.
pub(super) fn promoted(source: &TemplateSource, variant: &str) -> Option<TemplateSource> {
    let mut promoted = source.clone();
    let experiment = promoted.experiment.take()?;
    let winner = experiment.variants.into_iter().find(|one| &*one.name == variant);
    if winner.is_none() && variant != CONTROL_VARIANT {
        return None;
    }
    for (locale, parts) in winner.into_iter().flat_map(|winner| winner.locales) {
        cover(promoted.locales.entry(locale).or_default(), parts);
    }
    Some(promoted)
}

fn cover(own: &mut PartSources, parts: PartSources) {
    let PartSources { title, body, html, sms, push, voice } = parts;
    own.title = title.or(own.title.take());
    own.body = body.or(own.body.take());
    own.html = html.or(own.html.take());
    own.sms = sms.or(own.sms.take());
    own.voice = voice.or(own.voice.take());
    if let Some(push) = push {
        cover_push(own.push.get_or_insert_default(), push);
    }
}

/// Each of its texts by itself, as it is sent.
fn cover_push(own: &mut PushSource, push: PushSource) {
    let PushSource { title, body, data } = push;
    own.title = title.or(own.title.take());
    own.body = body.or(own.body.take());
    own.data.extend(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_winner_take_the_place_of_the_templates_own_and_the_rest_stays() {
        let source: TemplateSource = serde_json::from_str(
            r#"{"code":"a","locales":{"en":{"title":"t","body":"b"},"de":{"title":"T","body":"B"}},
            "experiment":{"variants":[{"name":"x","weight":1,"locales":{"en":{"title":"x"},"fr":{"body":"f"}}},{"name":"control","weight":1}]}}"#,
        )
        .expect("a template");
        let promoted = |variant: &str| {
            let promoted = promoted(&source, variant)?;
            assert_eq!(promoted.experiment, None);
            Some(serde_json::to_string(&promoted.locales).expect("JSON"))
        };
        let expected = r#"{"de":{"title":"T","body":"B"},"en":{"title":"x","body":"b"},"fr":{"body":"f"}}"#;
        assert_eq!(promoted("x").as_deref(), Some(expected));
        let expected = r#"{"de":{"title":"T","body":"B"},"en":{"title":"t","body":"b"}}"#;
        assert_eq!(promoted("control").as_deref(), Some(expected));
        assert_eq!(promoted("y"), None);
        assert_eq!(super::promoted(&TemplateSource::default(), "control"), None, "there is no experiment to end");
    }

    #[test]
    fn what_was_pushed_to_those_of_the_winner_is_pushed_to_everybody() {
        let source: TemplateSource = serde_json::from_str(
            r#"{"code":"a","locales":{"en":{"push":{"title":"t","body":"b","data":{"link":"l","tab":"1"}}},"de":{"title":"T"}},
            "experiment":{"variants":[{"name":"x","weight":1,"locales":{
                "en":{"push":{"title":"x","data":{"tab":"2","new":"n"}}},"de":{"push":{"body":"B"}}}}]}}"#,
        )
        .expect("a template");
        let promoted = promoted(&source, "x").expect("promoted");
        let expected = concat!(
            r#"{"de":{"title":"T","push":{"body":"B"}},"#,
            r#""en":{"push":{"title":"x","body":"b","data":{"link":"l","new":"n","tab":"2"}}}}"#
        );
        assert_eq!(serde_json::to_string(&promoted.locales).expect("JSON"), expected);
    }
}
