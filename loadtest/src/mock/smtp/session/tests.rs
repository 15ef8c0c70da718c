//! Conversations, cut in every possible way.

use super::*;

/// The replies to `input`, of which `first` bytes arrive alone; every mail is answered 250.
fn converse(input: &[u8], first: usize) -> (String, Vec<Bytes>) {
    let mut session = Session::new(true);
    let mut buffer = BytesMut::new();
    let mut output = Vec::new();
    let mut mails = Vec::new();
    for part in [&input[..first], &input[first..]] {
        buffer.extend_from_slice(part);
        loop {
            match session.step(&mut buffer, &mut output) {
                Step::More => break,
                Step::Replied => {}
                Step::Mail { wire, .. } => {
                    mails.push(wire);
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
fn mails_in_chunks_are_the_same_however_their_bytes_arrive() {
    let input = b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 8 LAST\r\n.\r\n.\r\nxyMAIL FROM:<>\r\nRCPT TO:<c@x>\r\n\
        BDAT 3\r\nabcbdat 2\r\n\r\nBDAT 0 last\r\nMAIL FROM:<a@x>\r\nRCPT TO:<reject@x>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\nQUIT\r\n";
    let expected = ["250", "250", "250", "250", "250", "250", "250", "250", "250", "250", "550", "554", "250", "221"];
    for first in 0..=input.len() {
        let (replies, mails) = converse(input, first);
        assert_eq!(codes(&replies), expected, "cut at {first}");
        assert_eq!(mails, [&b".\r\n.\r\nxy"[..], b"abc\r\n"], "cut at {first}");
    }
}

#[test]
fn a_chunk_that_cannot_be_taken_is_read_and_refused() {
    let cases: [(&str, &[&str]); 6] = [
        ("EHLO me\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", &["250", "503", "250"]),
        ("EHLO me\r\nMAIL FROM:<a@x>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", &["250", "250", "554", "250"]),
        ("EHLO me\r\nBDAT\r\nBDAT x\r\nBDAT 1 FIRST\r\n", &["250", "501", "501", "501"]),
        (
            "EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 1\r\nxDATA\r\nRCPT TO:<c@x>\r\nRSET\r\nBDAT 1\r\nx",
            &["250", "250", "250", "250", "503", "503", "250", "503"],
        ),
        ("EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 1\r\nxBDAT 26214400\r\n", &["250", "250", "250", "250"]),
        ("EHLO me\r\nBDAT 99999999\r\nNOOP\r\n", &["250", "500"]),
    ];
    for (input, expected) in cases {
        assert_eq!(codes(&converse(input.as_bytes(), 0).0), expected, "{input}");
    }
}

#[test]
fn without_chunking_it_is_neither_offered_nor_known() {
    for (offers_chunking, expected) in [(true, ["250", "501"]), (false, ["250", "502"])] {
        let mut session = Session::new(offers_chunking);
        let (mut input, mut output) = (BytesMut::from("EHLO me\r\nBDAT\r\n"), Vec::new());
        while session.step(&mut input, &mut output) == Step::Replied {}
        let replies = String::from_utf8_lossy(&output);
        assert_eq!(replies.contains("250-CHUNKING\r\n"), offers_chunking);
        assert_eq!(codes(&replies), expected);
    }
}

#[test]
fn byte_by_byte_it_is_the_same_too() {
    let input = b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    let mut session = Session::new(true);
    let (mut buffer, mut output, mut mails) = (BytesMut::new(), Vec::new(), 0);
    for byte in input {
        buffer.extend_from_slice(&[*byte]);
        while let step @ (Step::Replied | Step::Mail { .. }) = session.step(&mut buffer, &mut output) {
            mails += usize::from(matches!(step, Step::Mail { .. }));
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
