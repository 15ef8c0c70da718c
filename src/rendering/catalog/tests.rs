//! The catalog as rendering and those who save templates use it.

use serde_json::json;

use crate::config::{self, ByteSize};
use crate::domain::{Channel, Content, CurrentTemplate, Presentation, TemplateKey, TemplateKind, TemplateSource, Zone};
use crate::rendering::{CatalogError, RenderError, Renderer, read_file};
use crate::templates::{CompiledTemplates, PreviewWish, SavedTemplate, TemplateOrigin, TemplateProblem};

fn renderer() -> Renderer {
    Renderer::new(&config::defaults().templates, Zone::UTC).expect("the shipped templates are usable")
}

fn load(files: &[(&str, &str)]) -> Result<Renderer, CatalogError> {
    let folder = tempfile::tempdir().expect("a folder for tests");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("writable");
    }
    let dir = Some(folder.path().to_owned());
    Renderer::new(&config::Templates { dir, ..config::defaults().templates }, Zone::UTC)
}

fn source(toml: &str) -> TemplateSource {
    read_file(toml).expect("a template file")
}

fn current(source: TemplateSource) -> SavedTemplate {
    SavedTemplate::Current(CurrentTemplate { source, version: 1, is_active: true })
}

fn key(tenant: &str, code: &str) -> TemplateKey {
    TemplateKey { tenant: tenant.into(), code: code.into() }
}

fn save(renderer: &Renderer, tenant: &str, toml: &str) {
    let source = source(toml);
    renderer.replace(vec![(key(tenant, &source.code), current(source))]);
}

/// The title and the body in a language and variant, or the error as people see it.
fn told(renderer: &Renderer, tenant: &str, code: &str, locale: &str, variant: &str, data: &str) -> String {
    let presentation = Presentation {
        locale: Some(locale.into()),
        zone: None,
        variant: Some(variant.into()).filter(|_| !variant.is_empty()),
    };
    let content = Content::Template { code: code.into() };
    match renderer.parts(tenant, &content, data, &presentation, Some(Channel::Email)) {
        Ok(parts) => format!("{}|{}", parts.title, parts.body),
        Err(error) => error.to_string(),
    }
}

const HELLO: &str = "code = \"hello\"\n[locales.en]\ntitle = \"Hi\"\nbody = \"Hello {{name}}\"\n\
                     [locales.zh-Hans]\ntitle = \"嗨\"\nbody = \"你好 {{name}}\"\n\
                     [locales.zh-Hant]\ntitle = \"嗨\"\nbody = \"您好 {{name}}\"\n\
                     [locales.zh-Hant-HK]\ntitle = \"喂\"\n";

#[test]
fn a_message_is_in_the_first_language_of_the_chain_that_there_is() {
    let renderer = renderer();
    save(&renderer, "t", HELLO);
    for (wish, expected) in [
        ("en", "Hi|Hello A"),
        ("en-GB", "Hi|Hello A"),
        ("zh-Hans", "嗨|你好 A"),
        ("zh-Hans-SG", "嗨|你好 A"),
        ("zh-Hant-TW", "嗨|您好 A"),
        // Its own title, and the body of its language.
        ("zh-Hant-HK", "喂|您好 A"),
        ("sw", "Hi|Hello A"),
    ] {
        assert_eq!(told(&renderer, "t", "hello", wish, "", r#"{"name":"A"}"#), expected, "{wish}");
    }
}

#[test]
fn a_variant_has_the_parts_that_it_changes_and_the_rest_of_the_template() {
    let renderer = renderer();
    let experiment = "[experiment]\nvariants = [{ name = \"control\", weight = 1 }, { name = \"b\", weight = 1, \
                      locales = { en = { title = \"Hey\" }, zh-Hans = { body = \"{{name}}!\" } } }]\n";
    save(&renderer, "t", &format!("{HELLO}{experiment}"));
    for (wish, variant, expected) in [
        ("en", "", "Hi|Hello A"),
        ("en", "control", "Hi|Hello A"),
        ("en", "b", "Hey|Hello A"),
        ("zh-Hans", "b", "嗨|A!"),
        ("zh-Hant", "b", "嗨|您好 A"),
        // One that was taken away meanwhile.
        ("en", "c", "Hi|Hello A"),
    ] {
        assert_eq!(told(&renderer, "t", "hello", wish, variant, r#"{"name":"A"}"#), expected, "{wish} {variant}");
    }
    let experiment = renderer.experiment("t", "hello").expect("one");
    assert_eq!((&*experiment.name, experiment.hold_back, experiment.variants.len()), ("hello", 0, 2));
}

const FRAME: &str = "code = \"frame\"\nkind = \"partial\"\n[locales.en]\nbody = \"<{{> @partial-block}}>{{> foot}}\"\n\
                     [locales.de]\nbody = \"[{{> @partial-block}}]{{> foot}}\"\n";
const FOOT: &str = "code = \"foot\"\nkind = \"partial\"\n[locales.en]\nbody = \"-{{brand}}\"\n";
const FRAMED: &str = "code = \"framed\"\n[[variables]]\nname = \"name\"\nexample = \"A\"\n[[variables]]\nname = \"brand\"\nexample = \"B\"\n\
                      [locales.en]\ntitle = \"t\"\nbody = \"{{#> frame}}Hello {{name}}{{/frame}}\"\n\
                      [locales.de]\ntitle = \"t\"\nbody = \"{{#> frame}}Hallo {{name}}{{/frame}}\"\n";

#[test]
fn what_is_included_is_in_the_same_language_and_changes_for_all_that_include_it() {
    let renderer = renderer();
    let data = r#"{"name":"A","brand":"B"}"#;
    for toml in [FRAMED, FRAME, FOOT] {
        save(&renderer, "t", toml);
    }
    assert_eq!(told(&renderer, "t", "framed", "en", "", data), "t|<Hello A>-B");
    assert_eq!(told(&renderer, "t", "framed", "de-AT", "", data), "t|[Hallo A]-B");
    assert_eq!(renderer.users_of("t", "foot").join(" "), "frame framed");
    save(&renderer, "t", &FOOT.replace("-{{brand}}", "+{{brand}}"));
    assert_eq!(told(&renderer, "t", "framed", "en", "", data), "t|<Hello A>+B");
    renderer.replace(vec![(key("t", "foot"), SavedTemplate::Nothing)]);
    let problem = renderer.problem(&key("t", "framed")).expect("its foot is gone");
    assert!(problem.contains("there is no partial `foot`"), "{problem}");
    assert!(told(&renderer, "t", "framed", "en", "", data).contains("there is no partial `foot`"));
    // Nobody else's are concerned.
    assert_eq!(renderer.problem(&key("t", "order_confirm")), None);
}

/// Partials that each include the next one, some times, in a part.
fn levels(part: &str, levels: usize, includes: usize) -> Vec<(TemplateKey, SavedTemplate)> {
    let partial = |level: usize| {
        let text = match level < levels {
            true => format!("{{{{> level{}}}}}", level + 1).repeat(includes),
            false => "x".to_owned(),
        };
        source(&format!("code = \"level{level}\"\nkind = \"partial\"\n[locales.en]\n{part} = \"{text}\"\n"))
    };
    (1..=levels).map(partial).map(|source| (key("t", &source.code), current(source))).collect()
}

#[test]
fn partials_that_include_each_other_often_are_gone_through_once() {
    for (part, includes) in [("body", 2), ("body", 50), ("html", 2), ("html", 50)] {
        let renderer = renderer();
        renderer.replace(levels(part, 16, includes));
        let user =
            format!("code = \"top\"\n[locales.en]\ntitle = \"t\"\n{part} = \"{{{{> level9}}}}{{{{> level1}}}}\"\n");
        save(&renderer, "t", &user);
        assert_eq!(renderer.find_problem(&key("t", "top")), None, "{part} {includes}");
        // However long it took to say so, it ends.
        _ = renderer.validate("t", &source(&user.replace("> level1}", "> level2}")));
        assert_eq!(renderer.users_of("t", "level16").len(), 16);
        let deeper =
            user.replace("top", "level0").replace("title = \"t\"", "").replace("[loc", "kind = \"partial\"\n[loc");
        save(&renderer, "t", &deeper);
        let above = user.replace("> level9}", "> level2}").replace("> level1}", "> level0}");
        let problems = renderer.validate("t", &source(&above)).expect_err("17 deep");
        assert!(problems[0].detail.contains("deep"), "{problems:?}");
    }
}

#[test]
fn a_text_includes_at_most_a_hundred_partials() {
    let renderer = renderer();
    let partial =
        |number: usize| source(&format!("code = \"p{number}\"\nkind = \"partial\"\n[locales.en]\nbody = \"x\"\n"));
    renderer.replace((0..101).map(partial).map(|source| (key("t", &source.code), current(source))).collect());
    let user = |count: usize| {
        let text: String = (0..count).map(|number| format!("{{{{> p{number}}}}}")).collect();
        source(&format!("code = \"top\"\n[locales.en]\ntitle = \"t\"\nbody = \"{text}\"\n"))
    };
    assert!(renderer.validate("t", &user(100)).is_ok());
    let problems = renderer.validate("t", &user(101)).expect_err("too many");
    assert!(problems[0].detail.contains("more than 100 partials"), "{problems:?}");
}

#[test]
fn what_was_in_use_is_linked_again_before_a_change_is_in_force() {
    let renderer = renderer();
    for toml in [FOOT, FRAME, FRAMED] {
        save(&renderer, "t", toml);
    }
    renderer.replace(vec![(key("t", "foot"), SavedTemplate::Nothing)]);
    assert_eq!(renderer.problem(&key("t", "framed")), None, "nobody used it");
    assert!(renderer.find_problem(&key("t", "framed")).is_some());
    save(&renderer, "t", FOOT);
    assert_eq!(renderer.problem(&key("t", "framed")), None);
    renderer.replace(vec![(key("t", "foot"), SavedTemplate::Nothing)]);
    assert!(renderer.problem(&key("t", "framed")).is_some(), "it was used");
}

#[test]
fn a_user_that_could_not_be_rendered_before_does_not_keep_its_partial_from_being_mended() {
    let renderer = renderer();
    let broken = "code = \"foot\"\nkind = \"partial\"\n[locales.en]\nbody = \"-{{nothing}}\"\n";
    for toml in [broken, FRAME, FRAMED] {
        save(&renderer, "t", toml);
    }
    // Better, and still not good.
    assert!(renderer.validate("t", &source(&broken.replace("nothing", "nobody"))).is_ok());
    save(&renderer, "t", FOOT);
    let problems = renderer.validate("t", &source(broken)).expect_err("it worked");
    assert!(problems[0].detail.contains("`framed`, which includes it"), "{problems:?}");
}

#[test]
fn a_tenants_templates_are_its_own_and_stand_over_the_built_in_ones() {
    let files = [("frame.toml", FRAME), ("foot.toml", FOOT), ("framed.toml", FRAMED)];
    let renderer = load(&files).expect("usable");
    let data = r#"{"name":"A","brand":"B"}"#;
    assert_eq!(told(&renderer, "a", "framed", "en", "", data), "t|<Hello A>-B");
    save(&renderer, "a", &FOOT.replace("-{{brand}}", "+{{brand}}"));
    assert_eq!(told(&renderer, "a", "framed", "en", "", data), "t|<Hello A>+B");
    assert_eq!(told(&renderer, "b", "framed", "en", "", data), "t|<Hello A>-B");
    renderer.replace(vec![(key("a", "foot"), SavedTemplate::Nothing)]);
    assert_eq!(told(&renderer, "a", "framed", "en", "", data), "t|<Hello A>-B");
    save(&renderer, "a", HELLO);
    assert!(told(&renderer, "b", "hello", "en", "", data).contains("there is no template `hello`"));
    assert_eq!(renderer.built_in("framed").map(|one| one.origin), Some(TemplateOrigin::File));
    assert_eq!(renderer.built_in("order_confirm").map(|one| one.origin), Some(TemplateOrigin::Shipped));
}

#[test]
fn what_cannot_be_read_covers_what_is_built_in() {
    let renderer = renderer();
    renderer.replace(vec![(key("t", "order_confirm"), SavedTemplate::Unreadable("too new".into()))]);
    assert_eq!(
        told(&renderer, "t", "order_confirm", "en", "", "{}"),
        "the template `order_confirm` cannot be used: too new"
    );
    assert_eq!(renderer.problem(&key("t", "order_confirm")).as_deref(), Some("too new"));
    assert_eq!(renderer.problem(&key("u", "order_confirm")), None);
}

/// The first problem: its pointer, line and column, and words.
#[track_caller]
fn check_problem(renderer: &Renderer, toml: &str, pointer: &str, place: Option<(u32, u32)>, words: &str) {
    let problems = renderer.validate("t", &source(toml)).expect_err(toml);
    let TemplateProblem { pointer: found, line, column, detail, .. } = &problems[0];
    assert_eq!((&**found, line.zip(*column)), (pointer, place), "{detail}");
    assert!(detail.contains(words), "{detail}");
}

#[test]
fn what_could_not_be_rendered_is_refused_where_it_is_wrong() {
    let renderer = renderer();
    save(&renderer, "t", "code = \"loop_a\"\nkind = \"partial\"\n[locales.en]\nbody = \"{{> loop_b}}\"\n");
    let body = |text: &str| format!("code = \"x\"\n[locales.en]\ntitle = \"t\"\nbody = \"{text}\"\n");
    let check = |toml: &str, pointer: &str, place, words: &str| check_problem(&renderer, toml, pointer, place, words);
    check(&body("a\\n{{#if b}}"), "/locales/en/body", Some((2, 1)), "not closed");
    check(&body("{{shout b}}"), "/locales/en/body", Some((1, 1)), "there is no helper `shout`");
    check(&body("a {{> none}}"), "/locales/en/body", Some((1, 3)), "there is no partial `none`");
    check(&body("{{> order_confirm}}"), "/locales/en/body", Some((1, 1)), "is a message");
    check(
        "code = \"loop_b\"\nkind = \"partial\"\n[locales.en]\nbody = \"{{> loop_a}}\"\n",
        "/locales/en/body",
        Some((1, 1)),
        "never ends",
    );
    check(
        "code = \"loop\"\nkind = \"partial\"\n[locales.en]\nbody = \"{{> loop}}\"\n",
        "/locales/en/body",
        Some((1, 1)),
        "never ends",
    );
    check("code = \"x\"\n[locales.en]\nbody = \"b\"\n", "/locales/en", None, "must have a title");
    check("code = \"x\"\n[locales.en]\ntitle = \"b\"\n", "/locales/en", None, "must have a body or html");
    check(
        "code = \"x\"\ndefault_locale = \"de\"\n[locales.en]\ntitle = \"t\"\nbody = \"b\"\n",
        "/default_locale",
        None,
        "none of",
    );
    check("code = \"x\"\n[locales.EN]\ntitle = \"t\"\nbody = \"b\"\n", "/default_locale", None, "none of");
    check(&body("b").replace("\"x\"", "\"x y\""), "/code", None, "letters");
    check(&body(" "), "/locales/en/body", None, "must not be empty");
    check(
        &body("{{format_date at timezone=\'UTC\'}}"),
        "/locales/en/body",
        Some((1, 1)),
        "knows no `timezone=`: zone are given",
    );
    check(&body("{{format_list a \'or\'}}"), "/locales/en/body", Some((1, 1)), "takes 1 values at most");
    check(
        &body("b").replace("title = \"t\"", "title = \"{{x}}\"\\n").replace("\\n", ""),
        "/locales/en/title",
        None,
        "`x`",
    );
    let declared =
        |text: &str| format!("{}[[variables]]\nname = \"name\"\ntype = \"string\"\nexample = \"A\"\n", body(text));
    check(&declared("{{nmae}}"), "/locales/en/body", Some((1, 1)), "did you mean `name`");
    check(&declared("b").replace("\"A\"", "1"), "/variables/0/example", None, "a text");
    check(&declared("{{name}}").replace("title = \"t\"", "title = \"a\\nb\""), "/locales/en/title", None, "one line");
    let text_message = |text: &str| format!("sms_segments_max = 1\n{}sms = \"{text}\"\n", body("b"));
    check(&text_message(&"a".repeat(161)), "/locales/en/sms", None, "2 segments");
    check(&text_message(&"好".repeat(71)), "/locales/en/sms", None, "2 segments");
    assert_eq!(renderer.validate("t", &source(&text_message(&"a".repeat(160)))).map_err(|_| ()).map(|_| ()), Ok(()));
}

#[test]
fn a_partial_that_would_break_those_that_include_it_is_refused() {
    let renderer = renderer();
    for toml in [FOOT, FRAME, FRAMED] {
        save(&renderer, "t", toml);
    }
    let refused = |toml: &str| match renderer.validate("t", &source(toml)) {
        Ok(_) => String::new(),
        Err(problems) => problems[0].detail.to_string(),
    };
    assert_eq!(refused(FOOT), "");
    let cyclic = refused(&FOOT.replace("-{{brand}}", "{{> frame}}"));
    assert!(cyclic.contains("never ends"), "{cyclic}");
    let message = refused("code = \"foot\"\n[locales.en]\ntitle = \"t\"\nbody = \"b\"\n");
    assert!(message.contains("which includes it, could not be used any more"), "{message}");
}

#[test]
fn a_request_is_for_a_message_that_is_active_with_the_data_it_declares() {
    let renderer = renderer();
    save(&renderer, "t", FOOT);
    let optional = format!("{HELLO}[[variables]]\nname = \"name\"\ntype = \"string\"\nexample = \"A\"\n");
    save(&renderer, "t", &optional);
    let off = TemplateSource { code: "off".into(), ..source(HELLO) };
    let off = SavedTemplate::Current(CurrentTemplate { source: off, version: 1, is_active: false });
    renderer.replace(vec![(key("t", "off"), off)]);
    let refusal = |code: &str, data: &str| {
        let request = crate::rendering::tests::request("t", Content::Template { code: code.into() }, data);
        renderer
            .check(&request)
            .err()
            .map_or_else(String::new, |problem| format!("{} {}", problem.pointer, problem.detail))
    };
    assert_eq!(refusal("hello", r#"{"name":"A"}"#), "");
    assert_eq!(refusal("hello", "{}"), "/data/name the template needs a value for `name`");
    assert_eq!(refusal("hello", r#"{"name":1}"#), "/data/name `name` must be a text");
    assert!(refusal("off", r#"{"name":"A"}"#).starts_with("/template the template `off` is switched off"));
    assert!(refusal("foot", "{}").starts_with("/template `foot` is a partial"));
    // What was planned before it was switched off is still sent.
    assert_eq!(told(&renderer, "t", "off", "en", "", r#"{"name":"A"}"#), "Hi|Hello A");
}

#[test]
fn what_the_data_lacks_is_taken_from_the_configuration() {
    let mut templates = config::defaults().templates;
    templates.data = toml::toml! { name = "nobody" };
    let renderer = Renderer::new(&templates, Zone::UTC).expect("usable");
    save(&renderer, "t", HELLO);
    assert_eq!(told(&renderer, "t", "hello", "en", "", "{}"), "Hi|Hello nobody");
    assert_eq!(told(&renderer, "t", "hello", "en", "", r#"{"name":"A"}"#), "Hi|Hello A");
}

#[test]
fn a_preview_shows_all_parts_with_the_examples() {
    let renderer = renderer();
    let toml = "code = \"x\"\n[[variables]]\nname = \"name\"\nexample = \"Alice\"\n[[variables]]\nname = \"unused\"\nrequired = false\nexample = 1\n\
                [locales.en]\ntitle = \"t\"\nbody = \"b\"\nsms = \"Hi {{name}} ☺\"\nvoice = \"Hello {{name}}\"\n\
                push = { title = \"p\", data = { url = \"https://example.com/{{name}}\" } }\n\
                [locales.ar]\ntitle = \"ع\"\nbody = \"ب\"\n";
    let source = source(toml);
    let preview = renderer.preview("t", &source, &PreviewWish::default()).expect("renders");
    let push = preview.parts.push.expect("its own");
    assert_eq!((push.title.as_deref(), push.body, &*push.data["url"]), (Some("p"), None, "https://example.com/Alice"));
    assert_eq!(preview.parts.voice.as_deref(), Some("Hello Alice"));
    let sms = preview.sms.expect("there is one");
    assert_eq!((sms.segments, sms.encoding, sms.characters), (1, "ucs2", 10));
    assert_eq!((&*preview.locale, preview.is_right_to_left), ("en", false));
    let warnings: Vec<&str> = preview.warnings.iter().map(|one| &*one.detail).collect();
    assert!(warnings.contains(&"`unused` is declared and not used"), "{warnings:?}");
    assert!(warnings.contains(&"there is no sms, which `en` has"), "{warnings:?}");
    let wish =
        PreviewWish { data: Some(json!({"name": "Bob"})), locale: Some("ar-EG".into()), ..PreviewWish::default() };
    let preview = renderer.preview("t", &source, &wish).expect("renders");
    assert_eq!((preview.parts.title.as_deref(), &*preview.locale, preview.is_right_to_left), (Some("ع"), "ar", true));
    let wish = PreviewWish { data: Some(json!({})), ..PreviewWish::default() };
    let problems = renderer.preview("t", &source, &wish).expect_err("a value is missing");
    assert!(problems[0].detail.contains("`name`"), "{problems:?}");
}

#[test]
fn a_template_without_a_body_has_the_text_of_its_html() {
    let renderer = renderer();
    save(
        &renderer,
        "t",
        "code = \"x\"\n[locales.en]\ntitle = \"t\"\nhtml = \"<h1>Hello</h1><p>It is {{name}}.</p>\"\n",
    );
    let told = told(&renderer, "t", "x", "en", "", r#"{"name":"<A>"}"#);
    assert!(told.contains("Hello") && told.contains("It is <A>.") && !told.contains("<p>"), "{told}");
}

#[test]
fn the_shipped_templates_load_and_have_every_part_in_every_language() {
    let renderer = renderer();
    let built_ins = renderer.built_ins();
    for built_in in built_ins.iter().filter(|one| one.source.kind == TemplateKind::Message) {
        let source = &built_in.source;
        assert!(source.category.is_some() && source.description.is_some(), "{}", source.code);
        assert_eq!(
            source.locales.keys().map(|tag| &**tag).collect::<Vec<_>>(),
            ["ar", "en", "zh-Hans"],
            "{}",
            source.code
        );
        for (locale, parts) in &source.locales {
            for part in ["title", "body", "html", "sms", "voice", "push.body", "push.data"] {
                assert!(parts.has(part), "{} {locale} {part}", source.code);
            }
        }
    }
    assert!(built_ins.len() >= 16);
}

#[test]
fn the_shipped_templates_can_be_rendered_with_their_examples_and_nothing_is_odd_about_them() {
    let renderer = renderer();
    for built_in in renderer.built_ins() {
        let source = &built_in.source;
        let warnings =
            renderer.validate("t", source).unwrap_or_else(|problems| panic!("{}: {problems:?}", source.code));
        assert_eq!(warnings, [], "{}", source.code);
        if !source.kind.is_message() {
            continue;
        }
        for locale in source.locales.keys() {
            let wish = PreviewWish { locale: Some(locale.clone()), ..PreviewWish::default() };
            let preview = renderer.preview("t", source, &wish).expect("validated");
            assert_eq!(&preview.locale, locale, "{}", source.code);
            let html = preview.parts.html.expect("there is one");
            assert!(html.contains(&format!("lang=\"{locale}\"")) && !html.contains("{{"), "{} {locale}", source.code);
            // What the frame's rules say stands in the elements: not every mail program reads rules.
            assert!(html.matches(" style=\"").count() > 10, "{} {locale}", source.code);
            assert!(preview.sms.expect("there is one").segments <= 2, "{} {locale}", source.code);
        }
    }
}

#[test]
fn a_file_of_the_folder_takes_the_place_of_a_shipped_template() {
    let text = "code = \"order_confirm\"\ntitle = \"t\"\nbody = \"b\"\n";
    let renderer = load(&[("mine.toml", text), ("notes.txt", "not a template")]).expect("usable");
    assert_eq!(told(&renderer, "t", "order_confirm", "en", "", "{}"), "t|b");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let error = load(files).err().expect("unusable").to_string();
        assert!(expected.iter().all(|words| error.contains(words)), "{error}");
    };
    let text = "code = \"a\"\ntitle = \"t\"\nbody = \"b\"\n";
    check(&[("one.toml", text), ("two.toml", text)], &["`a`", "one.toml", "two.toml"]);
    let wrong = "code = \"a\"\ntitle = \"t\"\nbody = \"Hello {{frist name}}\"\n";
    check(&[("one.toml", wrong)], &["one.toml", "line 3, column 15: body: there is no helper `frist`"]);
    let undeclared = "code = \"a\"\ntitle = \"t\"\nbody = \"{{y}}\"\n";
    check(&[("one.toml", undeclared)], &["one.toml", "line 3, column 8: body: `y` has no value"]);
    let templates = config::Templates {
        dir: Some("/no/such/folder".into()),
        max_output: ByteSize(4096),
        ..config::defaults().templates
    };
    let error = Renderer::new(&templates, Zone::UTC).err().expect("nothing there").to_string();
    assert!(error.contains("/no/such/folder") && error.contains("templates.dir"), "{error}");
}

#[test]
fn an_unknown_template_is_named() {
    let content = Content::Template { code: "none".into() };
    let result = renderer().parts("t", &content, "{}", &Presentation::default(), None);
    assert_eq!(result.err(), Some(RenderError::NoTemplate { code: "none".into() }));
}

#[test]
fn a_text_message_is_as_short_as_its_template_wants_it_and_only_a_text_message() {
    let renderer = renderer();
    let long = "a".repeat(161);
    let of = |code: &str, more: &str| {
        format!("code = \"{code}\"\nsms_segments_max = 1\n[locales.en]\ntitle = \"t\"\nbody = \"{long}\"\n{more}")
    };
    save(&renderer, "t", &of("body", ""));
    save(&renderer, "t", &of("sms", "sms = \"{{x}}\"\nvoice = \"v\"\n"));
    let send = |code: &str, channel| {
        let content = Content::Template { code: code.into() };
        let data = format!("{{\"x\":\"{long}\"}}");
        renderer.parts("t", &content, &data, &Presentation::default(), Some(channel)).map(drop)
    };
    let refused = Err(RenderError::TooManySegments { segments: 2, max: 1 });
    assert_eq!(send("body", Channel::Sms), refused.clone());
    assert_eq!(send("sms", Channel::Sms), refused);
    for channel in [Channel::Voice, Channel::Email, Channel::Push] {
        assert_eq!((send("body", channel), send("sms", channel)), (Ok(()), Ok(())), "{channel}");
    }
    let accepted = |channels: &[Channel]| {
        let content = Content::Template { code: "sms".into() };
        let request = crate::rendering::tests::request("t", content, &format!("{{\"x\":\"{long}\"}}"));
        renderer.check(&crate::domain::NotificationRequest { channels: channels.to_vec(), ..request }).is_ok()
    };
    assert!(accepted(&[]) && accepted(&[Channel::Email]) && !accepted(&[Channel::Email, Channel::Sms]));
}

#[test]
fn a_language_has_the_name_under_which_it_is_looked_for() {
    let renderer = renderer();
    for (tag, usual) in [("iw", "he"), ("en-UK", "en-GB"), ("ca-valencia", "ca"), ("EN", "en")] {
        let toml = format!("code = \"x\"\ndefault_locale = \"{tag}\"\n[locales.{tag}]\ntitle = \"t\"\nbody = \"b\"\n");
        let words = format!("write the language tag as `{usual}`");
        check_problem(&renderer, &toml, &format!("/locales/{tag}"), None, &words);
    }
    save(
        &renderer,
        "t",
        "code = \"x\"\ndefault_locale = \"de\"\n[locales.de]\ntitle = \"de\"\nbody = \"b\"\n[locales.he]\ntitle = \"he\"\nbody = \"b\"\n",
    );
    assert_eq!(told(&renderer, "t", "x", "iw", "", "{}"), "he|b");
}

#[test]
fn a_template_has_a_category_that_is_configured() {
    let categories = config::defaults().categories().expect("they are fit");
    let renderer = renderer().among(categories);
    check_problem(
        &renderer,
        &format!("category = \"Marketing\"\n{}", HELLO.replace("{{name}}", "you")),
        "/category",
        None,
        "did you mean `marketing`",
    );
    for built_in in renderer.built_ins() {
        assert_eq!(renderer.validate("t", &built_in.source).map_err(|problems| problems[0].clone()), Ok(vec![]));
    }
}

#[test]
fn a_preview_is_of_a_variant_that_there_is_and_tells_which_text_it_is() {
    let renderer = renderer();
    let toml = format!(
        "{HELLO}[experiment]\nvariants = [{{ name = \"b\", weight = 1, locales = {{ en = {{ title = \"Hey\" }} }} }}]\n"
    );
    let preview = |variant: &str, locale: &str| {
        let wish = PreviewWish {
            data: Some(json!({"name": "A"})),
            locale: Some(locale.into()),
            variant: Some(variant.into()),
            ..PreviewWish::default()
        };
        renderer.preview("t", &source(&toml), &wish).map_err(|problems| problems[0].pointer.clone())
    };
    let shown = preview("b", "en-GB").expect("there is one");
    assert_eq!((shown.parts.title.as_deref(), &*shown.locale), (Some("Hey"), "en"));
    assert!(
        shown.warnings.iter().any(|one| one.detail.contains("`b` changes nothing for `zh-Hans`")),
        "{:?}",
        shown.warnings
    );
    assert_eq!(preview("c", "en").err().as_deref(), Some("/experiment/variants"));
}
