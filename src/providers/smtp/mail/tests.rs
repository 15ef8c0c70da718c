use base64::Engine as _;
use bytes::Bytes;
use lettre::message::header::ContentType;
use lettre::message::{MultiPart, SinglePart};
use proptest::prelude::*;

use super::super::tests::message;
use super::parts::whole_lines;
use super::*;
use crate::domain::Attachment;

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

/// Boundaries are random, and the headers of automatic mails are ours.
fn without_boundary(mail: &str) -> String {
    let is_ours = |line: &&str| line.starts_with("Feedback-ID: ") || line.starts_with("Auto-Submitted: ");
    let mail = &mail.split_inclusive("\r\n").filter(|line| !is_ours(line)).collect::<String>();
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

fn attachment(name: &str, media_type: &str, content: &'static [u8]) -> Attachment {
    Attachment { name: name.into(), media_type: media_type.into(), content: Bytes::from_static(content) }
}

fn composed(message: &Message) -> String {
    let composer = Composer::new(Some("Shop <shop@example.com>")).expect("an address");
    composer.compose(message, "alice@example.com", NOW).expect("composed").as_str().to_owned()
}

/// The parts of a mail between its outermost boundaries.
fn outer_parts(mail: &str) -> Vec<String> {
    let (_, rest) = mail.split_once("boundary=\"").expect("it has parts");
    let (boundary, _) = rest.split_once('"').expect("it is quoted");
    mail.split(&format!("--{boundary}")).map(str::to_owned).collect()
}

#[test]
fn files_stand_behind_the_text_in_lines_of_base64() {
    let content: &[u8] = &[7; 200];
    let mut message = message("alice@example.com", "Hi", "text");
    message.parts.html = Some("<p>text</p>".into());
    message.attachments =
        vec![attachment("a.pdf", "application/pdf", content), attachment("empty.txt", "text/plain", b"")];
    let mail = composed(&message);
    assert!(mail.contains("\r\nContent-Type: multipart/mixed;"), "{mail}");
    let parts = outer_parts(&mail);
    assert_eq!(parts.len(), 5, "{mail}");
    assert!(parts[1].starts_with("\r\nContent-Type: multipart/alternative;"), "{mail}");
    let (head, body) = parts[2].split_once("\r\n\r\n").expect("a head");
    assert_eq!(
        head,
        "\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n\
         Content-Transfer-Encoding: base64"
    );
    assert!(body.split("\r\n").all(|line| line.len() <= 76), "{body}");
    assert_eq!(body.split("\r\n").next().map(str::len), Some(76));
    let decoded = base64::engine::general_purpose::STANDARD.decode(body.replace("\r\n", "")).expect("base64");
    assert_eq!(decoded, content);
    assert!(parts[4].starts_with("--\r\n"), "{mail}");
}

#[test]
fn names_of_files_outside_ascii_are_encoded_by_rfc_2231() {
    let mut message = message("alice@example.com", "Hi", "text");
    message.attachments = vec![attachment("Größe \"1\".pdf", "application/pdf", b"x")];
    let mail = composed(&message);
    assert!(mail.contains("Content-Disposition: attachment;\r\n filename*0*=utf-8''Gr%C3%B6%C3%9Fe"), "{mail}");
    message.attachments = vec![attachment("a \"b\\c\".pdf", "application/pdf", b"x")];
    assert!(composed(&message).contains("filename=\"a \\\"b\\\\c\\\".pdf\""));
}

#[test]
fn neither_name_nor_type_of_a_file_can_begin_a_header() {
    let mut message = message("alice@example.com", "Hi", "text");
    for (name, media_type) in [
        ("a\r\nBcc: x@example.com", "text/plain\r\nBcc: x@example.com"),
        ("a\"\r\n\r\nbody", "message/rfc822"),
        ("\u{85}\u{2028}\u{0}", "Multipart/mixed; boundary=x"),
        ("", ""),
    ] {
        message.attachments = vec![attachment(name, media_type, b"x")];
        let mail = composed(&message);
        assert!(!mail.lines().any(|line| line.starts_with("Bcc")), "{mail}");
        assert!(mail.contains("\r\nContent-Type: application/octet-stream\r\n"), "{mail}");
        assert_eq!(outer_parts(&mail).len(), 4, "{mail}");
    }
}

#[test]
fn what_can_be_switched_off_carries_its_link_unencoded() {
    let link = format!("https://notify.example.com/u/{}", "x".repeat(200));
    let mut settings = crate::providers::testing::settings(
        "name = \"mail\"\nkind = \"smtp\"\nfrom = \"shop@example.com\"\n[options]
reply_to = \"Hilfe für alle <help@example.com>\"\nbounce_address = \"bounces@mail.example.com\"
unsubscribe_mailto = \"off@example.com\"",
    );
    let message = Message { unsubscribe: Some(link.clone().into()), ..message("alice@example.com", "Hi", "x") };
    let composer = Composer::read(&settings).expect("valid");
    let mail = composer.compose(&message, "alice@example.com", NOW).expect("composed");
    let expected = format!(
        "List-Unsubscribe: <{link}>,\r\n <mailto:off@example.com>\r\n\
         List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: <transactional.example.com>\r\n"
    );
    assert!(mail.as_str().contains(&expected), "{}", mail.as_str());
    assert!(mail.as_str().contains("Reply-To: =?utf-8?b?"), "{}", mail.as_str());
    assert_eq!(composer.bounces_to(), "bounces@mail.example.com");
    settings.options.clear();
    let plain = Composer::read(&settings).expect("valid").compose(&message, "alice@example.com", NOW);
    assert!(!plain.expect("composed").as_str().contains("mailto"));
}
