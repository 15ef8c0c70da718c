//! Conversations, cut in every possible way.

use super::*;

/// The replies to `input`, of which `first` bytes arrive alone; every mail is answered 250.
fn converse(input: &[u8], first: usize) -> (String, Vec<Bytes>) {
    let mut session = Session::new();
    let mut buffer = BytesMut::new();
    let mut output = Vec::new();
    let mut mails = Vec::new();
    for part in [&input[..first], &input[first..]] {
        buffer.extend_from_slice(part);
        loop {
            match session.step(&mut buffer, &mut output) {
                Step::More => break,
                Step::Replied => {}
                Step::Mail(mail) => {
                    mails.push(mail);
                    output.extend_from_slice(b"250 taken\r\n");
                }
                Step::Close => return (String::from_utf8_lossy(&output).into_owned(), mails),
            }
        }
    }
    (String::from_utf8_lossy(&output).into_owned(), mails)
}

/// The codes of the replies; of a reply over several lines, the last.
fn codes(replies: &str) -> Vec<&str> {
    replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
}

#[test]
fn a_pipelined_conversation_is_the_same_however_its_bytes_arrive() {
    let input = b"EHLO me\r\nMAIL FROM:<a@x> SIZE=10\r\nRCPT TO:<b@x>\r\nDATA\r\nMessage-ID: <1>\r\n\r\n..x\r\n.\r\n\
        MAIL FROM:<>\r\nRCPT TO:<c@x>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n";
    let expected = ["250", "250", "250", "354", "250", "250", "250", "354", "250", "250", "221"];
    for first in 0..=input.len() {
        let (replies, mails) = converse(input, first);
        assert_eq!(codes(&replies), expected, "cut at {first}");
        assert_eq!(mails, [&b"Message-ID: <1>\r\n\r\n..x\r\n"[..], b""], "cut at {first}");
    }
}

#[test]
fn byte_by_byte_it_is_the_same_too() {
    let input = b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    let mut session = Session::new();
    let (mut buffer, mut output, mut mails) = (BytesMut::new(), Vec::new(), 0);
    for byte in input {
        buffer.extend_from_slice(&[*byte]);
        while let step @ (Step::Replied | Step::Mail(_)) = session.step(&mut buffer, &mut output) {
            mails += usize::from(matches!(step, Step::Mail(_)));
        }
    }
    assert_eq!(mails, 1);
    assert_eq!(codes(&String::from_utf8_lossy(&output)), ["250", "250", "250", "354", "221"]);
}

#[test]
fn each_command_has_its_place_and_its_reply() {
    let cases: [(&str, &[&str]); 14] = [
        ("MAIL FROM:<a@x>\r\n", &["503"]),
        ("EHLO me\r\nRCPT TO:<b@x>\r\nDATA\r\n", &["250", "503", "503"]),
        ("HELO me\r\nMAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\n", &["250", "250", "503"]),
        ("EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<reject@x>\r\nDATA\r\n", &["250", "250", "550", "554"]),
        ("EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<defer@x>\r\nDATA\r\n", &["250", "250", "451", "554"]),
        (
            "EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<reject@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nx\r\n.\r\n",
            &["250", "250", "550", "250", "354", "250"],
        ),
        ("EHLO me\r\nMAIL FROM:<a@x>\r\nRSET\r\nRCPT TO:<b@x>\r\n", &["250", "250", "250", "503"]),
        ("EHLO me\r\nMAIL FROM:<a@x> SIZE=99999999\r\n", &["250", "552"]),
        ("EHLO me\r\nMAIL FROM:a@x\r\nMAIL\r\n", &["250", "501", "501"]),
        ("EHLO me\r\nAUTH PLAIN AGEAYg==\r\nNOOP\r\n", &["250", "235", "250"]),
        ("EHLO me\r\nAUTH PLAIN\r\nAGEAYg==\r\nNOOP\r\n", &["250", "334", "235", "250"]),
        ("EHLO me\r\nAUTH PLAIN\r\n*\r\nAUTH LOGIN\r\n", &["250", "334", "501", "504"]),
        ("ehlo me\r\nmail from:<a@x> BODY=8BITMIME SMTPUTF8\r\nrcpt to: <b@x>\r\n", &["250", "250", "250"]),
        ("STARTTLS\r\n\r\nVRFY x\r\nquit\r\n", &["502", "502", "252", "221"]),
    ];
    for (input, expected) in cases {
        assert_eq!(codes(&converse(input.as_bytes(), 0).0), expected, "{input}");
    }
}
