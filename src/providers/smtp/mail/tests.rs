use lettre::message::SinglePart;
use lettre::message::header::ContentType;
use proptest::prelude::*;

use super::super::tests::message;
use super::*;

const NOW: Timestamp = Timestamp(1_795_262_400_000);

fn stuffed(text: &str) -> String {
    let mut wire = Vec::new();
    Mail::of(text.into()).stuff_into(&mut wire);
    String::from_utf8(wire).expect("it was text")
}

/// The same mail by lettre's builder.
fn built(from: &str, message: &Message, recipient: &str) -> Option<String> {
    let from: Mailbox = from.parse().expect("an address");
    let builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, recipient.parse().ok()?))
        .subject(&message.parts.title)
        .date(UNIX_EPOCH + Duration::from_millis(NOW.millis()))
        .message_id(Some(format!("<{}@{}>", message.task, from.email.domain())));
    let text = whole_lines(&message.parts.body).into_owned();
    let mail = match &message.parts.html {
        None => builder.singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text)),
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, whole_lines(html).into_owned())),
    };
    String::from_utf8(mail.ok()?.formatted()).ok()
}

/// Boundaries are random.
fn without_boundary(mail: &str) -> String {
    let Some((_, rest)) = mail.split_once("boundary=\"") else { return mail.to_owned() };
    let (boundary, _) = rest.split_once('"').expect("it is quoted");
    mail.replace(boundary, "boundary")
}

#[test]
fn leading_dots_are_doubled_and_lone_line_ends_made_whole() {
    assert_eq!(stuffed("a\r\n.b\nc\rd\r\n"), "a\r\n..b\r\ncd\r\n.\r\n");
    assert_eq!(stuffed("a"), "a\r\n.\r\n");
    assert_eq!(stuffed("\n\r.\r\n"), "\r\n..\r\n.\r\n", "a dot behind a lone CR leads its line too");
    assert_eq!(Mail::of("a\r\n.b\nc\rd\r\n".into()).as_str(), "a\r\n.b\r\ncd\r\n");
}

#[test]
fn a_mail_of_any_kind_is_the_one_that_lettre_would_build() {
    let long = "word ".repeat(40);
    let cases = [
        ("Hi", "short", None),
        ("Grüße", "ünï\ncode", Some("<p>ünï</p>\r\n")),
        (&long, &long, Some(&*long)),
        ("", "", Some("")),
        ("trailing  ", "\n.\n\r", None),
        ("=?utf-8?b?eA==?=", "дом", Some("дом")),
    ];
    for from in ["Shop <shop@example.com>", "shop@example.com", "\"Größe, die\" <größe@exämple.com>"] {
        let composer = Composer::new(Some(from)).expect("an address");
        for (title, body, html) in cases {
            let mut message = message("alice@example.com", title, body);
            message.parts.html = html.map(Into::into);
            let composed = composer.compose(&message, "alice@example.com", NOW).expect("composed");
            let built = Mail::of(built(from, &message, "alice@example.com").expect("built"));
            assert_eq!(without_boundary(composed.as_str()), without_boundary(built.as_str()));
        }
    }
}

proptest! {
    #[test]
    fn a_mail_is_the_one_that_lettre_would_build(
        title in prop_oneof!["[ -~]{0,120}", "\\PC{0,40}"],
        body in "[a-zé .\\r\\n]{0,300}",
        html in prop::option::of(prop_oneof!["[a-z .\\r\\n]{0,300}", "[<>a-zä=\\n]{0,100}"]),
        recipient in "[a-z+_-]{1,30}(\\.[a-zé0-9]{1,15})?@[a-z0-9]{1,60}(\\.[a-zä0-9]{1,15}){0,2}\\.(de|com)",
    ) {
        let from = "Shop <shop@example.com>";
        let mut message = message(&recipient, &title, &body);
        message.parts.html = html;
        let composed = Composer::new(Some(from)).expect("an address").compose(&message, &recipient, NOW);
        let composed = composed.expect("neither recipient nor subject is illegal");
        let built = Mail::of(built(from, &message, &recipient).expect("built"));
        prop_assert_eq!(without_boundary(composed.as_str()), without_boundary(built.as_str()));
    }

    #[test]
    fn nothing_in_a_mail_can_end_it_early(mail in "[a.\\r\\n]{0,60}") {
        let whole = Mail::of(mail.clone());
        prop_assert_eq!(whole.as_str().replace("\r\n", "").find(['\r', '\n']), None);
        prop_assert_eq!(whole.as_str().replace("\r\n", ""), mail.replace(['\r', '\n'], ""));
        let stuffed = stuffed(&mail);
        let end = stuffed.find("\r\n.\r\n").map(|at| at + 5);
        prop_assert!(end == Some(stuffed.len()) || stuffed == ".\r\n");
        prop_assert_eq!(stuffed.replace("\r\n", "").find(['\r', '\n']), None);
    }

    #[test]
    fn lines_are_made_whole_and_otherwise_left(text in "[a\\r\\n]{0,20}") {
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let whole = whole_lines(&text);
        prop_assert_eq!(whole.as_ref(), lines.collect::<Vec<_>>().join("\r\n"));
    }
}
