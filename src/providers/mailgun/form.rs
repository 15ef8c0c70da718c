//! A form with files (RFC 7578).

use crate::domain::Attachment;

pub(super) struct Form<'a> {
    boundary: &'a str,
    body: Vec<u8>,
}

impl<'a> Form<'a> {
    /// `size`: how much will come, roughly.
    pub(super) fn new(boundary: &'a str, size: usize) -> Self {
        Self { boundary, body: Vec::with_capacity(size) }
    }

    /// `name` is one of ours: plain ASCII.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.add(&["\r\n\r\n", value, "\r\n"]);
    }

    pub(super) fn file(&mut self, name: &str, file: &Attachment) {
        self.begin(name);
        self.add(&["; filename=\"", &escaped(&file.name), "\"\r\nContent-Type: ", &file.media_type, "\r\n\r\n"]);
        self.body.extend_from_slice(&file.content);
        self.add(&["\r\n"]);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.add(&["--", self.boundary, "--\r\n"]);
        self.body
    }

    fn begin(&mut self, name: &str) {
        self.add(&["--", self.boundary, "\r\nContent-Disposition: form-data; name=\"", name, "\""]);
    }

    fn add(&mut self, texts: &[&str]) {
        for text in texts {
            self.body.extend_from_slice(text.as_bytes());
        }
    }
}

/// As browsers write a file's name (HTML, multipart form data): the quote and the ends of lines by their percent codes.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
