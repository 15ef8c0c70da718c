//! One page of HTML that needs nothing beside itself.

use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// A page that is being put together, from the top to the bottom.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    title: String,
    body: String,
}

impl Page {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), body: String::new() }
    }

    /// A paragraph of plain text.
    pub(crate) fn text(mut self, text: &str) -> Self {
        let _ = write!(self.body, "<p>{}</p>", escape(text));
        self
    }

    /// A heading of plain text.
    pub(crate) fn heading(mut self, text: &str) -> Self {
        let _ = write!(self.body, "<h2>{}</h2>", escape(text));
        self
    }

    /// A box with a figure in it that is to be seen first; `is_good` colours it.
    pub(crate) fn figures(mut self, figures: &[(String, String, Option<bool>)]) -> Self {
        self.body.push_str(r#"<div class="figures">"#);
        for (name, value, is_good) in figures {
            let class = match is_good {
                None => "",
                Some(true) => "good",
                Some(false) => "bad",
            };
            let (name, value) = (escape(name), escape(value));
            let _ = write!(self.body, r#"<div class="{class}"><b>{value}</b><span>{name}</span></div>"#);
        }
        self.body.push_str("</div>");
        self
    }

    /// HTML that was made here: a plot's SVG.
    pub(crate) fn section(mut self, html: &str) -> Self {
        let _ = write!(self.body, "<section>{html}</section>");
        self
    }

    /// A table of plain texts. All columns but the first are numbers, or short, and stand at the right.
    pub(crate) fn table(mut self, head: &[&str], rows: &[Vec<String>]) -> Self {
        self.body.push_str(r#"<div class="wide"><table><thead><tr>"#);
        for cell in head {
            let _ = write!(self.body, "<th>{}</th>", escape(cell));
        }
        self.body.push_str("</tr></thead><tbody>");
        for row in rows {
            self.body.push_str("<tr>");
            for cell in row {
                let _ = write!(self.body, "<td>{}</td>", escape(cell));
            }
            self.body.push_str("</tr>");
        }
        self.body.push_str("</tbody></table></div>");
        self
    }

    /// The whole page.
    pub(crate) fn html(&self) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>{}</main></body></html>\n",
            self.body
        )
    }
}

/// A text as it may stand in HTML, in an attribute too.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
