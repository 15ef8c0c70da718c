//! What a bare loop sends: for webhooks and for each kind of provider a request as large as the engine's for what `compare` sends it, with an
//! id of its own in each.

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use memchr::memmem;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::{ID_BYTES, id};
use crate::clock::now_us;
use crate::mock::Kind;

/// Stands where each request has its own id.
pub(crate) const ID: &str = "tsk_bare0000000000000000";

const TITLE: &str = "Order A0000000000123 is on its way";
const TEXT: &str = "Hello Customer 0000000123, your order A0000000000123 has left our house.";

/// As large as the engine's webhook.
const WEBHOOK: &[u8] = br#"{"id":"ntf_04g00000000000002f","task_id":"tsk_04g00000000000002f00","title":"Order A0000000000123 is on its way","body":"Hello Customer 0000000123, your order A0000000000123 has left our house.","data":{"order_id":"A0000000000123","name":"Customer 0000000123","sent_at_us":1700000000000000},"metadata":{}}"#;

/// As long as a Standard Webhooks signature.
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// What all requests of one loop have in common.
pub(crate) struct Shape {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    id: IdPlace,
    /// Otherwise HTTP/1.1.
    pub(crate) is_http2: bool,
    authority: String,
}

/// Where the id of a request stands.
enum IdPlace {
    Header(HeaderName),
    /// As a UUID, as APNs wants it.
    Uuid(HeaderName),
    Path(usize),
    Body(usize),
}

/// A request as it would be written down.
struct Sample {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Shape {
    pub(crate) fn webhook(authority: &str, path: &str) -> Result<Self> {
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-timestamp", "1700000000".to_owned()),
            ("webhook-signature", SIGNATURE.to_owned()),
        ];
        let sample = Sample { path: path.to_owned(), headers, body: WEBHOOK.to_vec() };
        let id = IdPlace::Header(HeaderName::from_static("webhook-id"));
        Self::new(authority, sample, id, false)
    }

    /// A message for a provider of this kind, as the mock at `authority` wants it.
    pub(crate) fn of(kind: Kind, authority: &str) -> Result<Self> {
        let sample = sample(kind)?;
        let is_http2 = matches!(kind, Kind::Fcm | Kind::Apns | Kind::WebPush);
        let id = match (memmem::find(&sample.body, ID.as_bytes()), sample.path.find(ID)) {
            (Some(at), _) => IdPlace::Body(at),
            (_, Some(at)) => IdPlace::Path(at),
            _ => IdPlace::Uuid(HeaderName::from_static("apns-id")),
        };
        Self::new(authority, sample, id, is_http2)
    }

    fn new(authority: &str, sample: Sample, id: IdPlace, is_http2: bool) -> Result<Self> {
        let mut headers = HeaderMap::new();
        // HTTP/2 has it in `:authority`.
        if !is_http2 {
            headers.insert(HOST, HeaderValue::try_from(authority)?);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static("fanfare-load"));
        for (name, value) in sample.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value)?);
        }
        let path = if is_http2 { format!("http://{authority}{}", sample.path) } else { sample.path };
        Ok(Self { path, headers, body: sample.body.into(), id, is_http2, authority: authority.to_owned() })
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn request(&self, ticket: u64) -> Result<Request<Full<Bytes>>> {
        let own = id(ticket);
        let mut headers = self.headers.clone();
        let mut path = self.path.parse::<Uri>();
        let mut body = self.body.clone();
        match &self.id {
            IdPlace::Header(name) => {
                headers.insert(name, HeaderValue::from_bytes(&own)?);
            }
            IdPlace::Uuid(name) => {
                headers.insert(name, HeaderValue::try_from(format!("00000000-0000-4000-8000-{ticket:012x}"))?);
            }
            IdPlace::Path(at) => {
                let mut text = self.path.clone().into_bytes();
                text[*at..*at + ID_BYTES].copy_from_slice(&own);
                path = Uri::try_from(text);
            }
            IdPlace::Body(at) => {
                let mut copy = BytesMut::from(&body[..]);
                copy[*at..*at + ID_BYTES].copy_from_slice(&own);
                body = copy.freeze();
            }
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn sample(kind: Kind) -> Result<Sample> {
    let json = |path: &str, authorization: Option<String>, body: Value| {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(authorization.map(|value| ("authorization", value)));
        Sample { path: path.to_owned(), headers, body: body.to_string().into_bytes() }
    };
    let form = |path: &str, authorization: String, body: String| {
        let kind = "application/x-www-form-urlencoded".to_owned();
        let headers = vec![("content-type", kind), ("authorization", authorization)];
        Sample { path: path.to_owned(), headers, body: body.into_bytes() }
    };
    let twilio = format!("Basic {}", STANDARD.encode("AC00000000000000000000000000000000:mock"));
    let text = TEXT.replace(' ', "+").replace(',', "%2C");
    let callback = format!("http%3A%2F%2F127.0.0.1%3A8080%2Fv1%2Fproviders%2Fload%2Freceipts%3Ftask%3D{ID}");
    let chat = json!({"msgtype": "text", "text": {"content": format!("{TITLE} ({ID})\n{TEXT}")}});
    Ok(match kind {
        Kind::Sendgrid => json(
            "/v3/mail/send",
            Some("Bearer mock".into()),
            json!({
                "personalizations": [{"to": [{"email": "u0000000123@load.example"}], "custom_args": {"task": ID}}],
                "from": {"email": "fanfare@load.example", "name": "Fanfare"},
                "subject": TITLE,
                "content": [{"type": "text/plain", "value": TEXT}],
            }),
        ),
        Kind::Ses => {
            let body = json!({
                "FromEmailAddress": "Fanfare <fanfare@load.example>",
                "Destination": {"ToAddresses": ["u0000000123@load.example"]},
                "Content": {"Simple": {
                    "Subject": {"Data": TITLE, "Charset": "UTF-8"},
                    "Body": {"Text": {"Data": TEXT, "Charset": "UTF-8"}},
                }},
                "EmailTags": [{"Name": "task", "Value": ID}],
            });
            signed_v4(json("/v2/email/outbound-emails", None, body), "ses")
        }
        Kind::Mailgun => {
            let fields = [
                ("from", "Fanfare <fanfare@load.example>"),
                ("to", "u0000000123@load.example"),
                ("subject", TITLE),
                ("text", TEXT),
                ("v:task", ID),
            ];
            let part = |(name, value): (&str, &str)| {
                format!("--fanfare-load\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let body: String = fields.into_iter().map(part).collect();
            let headers = vec![
                ("content-type", "multipart/form-data; boundary=fanfare-load".to_owned()),
                ("authorization", format!("Basic {}", STANDARD.encode("api:mock"))),
            ];
            let body = format!("{body}--fanfare-load--\r\n").into_bytes();
            Sample { path: "/v3/load.example/messages".to_owned(), headers, body }
        }
        Kind::TwilioSms => form(
            "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json",
            twilio,
            format!("To=%2B15550000123&From=%2B15005550006&Body={text}&StatusCallback={callback}"),
        ),
        Kind::TwilioVoice => form(
            "/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls.json",
            twilio,
            format!(
                "To=%2B15550000123&From=%2B15005550006&Twiml=%3CResponse%3E%3CSay%3E{text}%3C%2FSay%3E%3C%2FResponse%3E&StatusCallback={callback}"
            ),
        ),
        Kind::SnsSms => {
            let body = format!(
                "Action=Publish&Version=2010-03-31&PhoneNumber=%2B15550000123&Message={text}+{ID}&MessageAttributes.entry.1.Name=AWS.SNS.SMS.SMSType&MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=Transactional"
            );
            let mut sample = form("/", String::new(), body);
            sample.headers.retain(|(name, _)| *name != "authorization");
            signed_v4(sample, "sns")
        }
        Kind::AliyunSms => aliyun(),
        Kind::Fcm => json(
            "/v1/projects/load/messages:send",
            // What a mock gives out that was never told to expire it.
            Some("Bearer mock-access-0".into()),
            json!({"message": {
                "token": "u0000000123",
                "notification": {"title": TITLE, "body": TEXT},
                "data": {"order_id": "A0000000000123", "id": ID},
                "android": {"priority": "HIGH", "ttl": "3600s"},
            }}),
        ),
        Kind::Apns => apns(),
        Kind::WebPush => web_push()?,
        Kind::Dingtalk => json("/robot/send?access_token=mock", None, chat),
        Kind::Wecom => json("/cgi-bin/webhook/send?key=mock", None, chat),
        Kind::WecomApp => {
            let mut message = chat;
            message["touser"] = json!("u0000000123");
            message["agentid"] = json!(1);
            json("/cgi-bin/message/send?access_token=mock-access-0", None, message)
        }
        Kind::Feishu => {
            let content = json!({"text": format!("{TITLE} ({ID})\n{TEXT}")});
            json("/open-apis/bot/v2/hook/mock", None, json!({"msg_type": "text", "content": content}))
        }
        Kind::Slack => {
            json("/services/T00000000/B00000000/mock", None, json!({"text": format!("{TITLE} ({ID})\n{TEXT}")}))
        }
    })
}

/// With a signature of AWS that has the right form; the mock cannot check more.
fn signed_v4(mut sample: Sample, service: &str) -> Sample {
    let signature = "0".repeat(64);
    let scope = format!("mock/20260101/us-east-1/{service}/aws4_request");
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    );
    sample.headers.extend([("authorization", value), ("x-amz-date", "20260101T000000Z".to_owned())]);
    sample
}

fn aliyun() -> Sample {
    let hash: String = digest(&SHA256, b"").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
    let signature = "0".repeat(64);
    let headers = vec![
        ("x-acs-action", "SendSms".to_owned()),
        ("x-acs-version", "2017-05-25".to_owned()),
        ("x-acs-date", "2026-01-01T00:00:00Z".to_owned()),
        ("x-acs-signature-nonce", "0123456789abcdef0123456789abcdef".to_owned()),
        ("x-acs-content-sha256", hash),
        ("authorization", format!("ACS3-HMAC-SHA256 Credential=mock,SignedHeaders={names},Signature={signature}")),
    ];
    let values = "%7B%22order_id%22%3A%22A0000000000123%22%2C%22name%22%3A%22Customer%200000000123%22%7D";
    let path =
        format!("/?PhoneNumbers=15550000123&SignName=Fanfare&TemplateCode=SMS_1&TemplateParam={values}&OutId={ID}");
    Sample { path, headers, body: Vec::new() }
}

fn apns() -> Sample {
    let now_s = now_us() / 1_000_000;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "ES256", "kid": "MOCK000000"}));
    let token = format!("{header}.{}.{}", part(json!({"iss": "MOCK000000", "iat": now_s})), "A".repeat(86));
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("authorization", format!("bearer {token}")),
        ("apns-topic", "example.load".to_owned()),
        ("apns-push-type", "alert".to_owned()),
        ("apns-priority", "10".to_owned()),
        ("apns-expiration", (now_s + 3600).to_string()),
    ];
    let body = json!({"aps": {"alert": {"title": TITLE, "body": TEXT}}, "order_id": "A0000000000123"});
    let path = format!("/3/device/{}", "0123456789abcdef".repeat(4));
    Sample { path, headers, body: body.to_string().into_bytes() }
}

/// As large as an encrypted message; what is in it is for the browser alone.
fn web_push() -> Result<Sample> {
    let random = SystemRandom::new();
    let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let failed = |_| anyhow!("cannot make a VAPID key");
    let document = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(failed)?;
    let key = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).map_err(|error| anyhow!("{error}"))?;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let end = now_us() / 1_000_000 + 12 * 3600;
    let claims = json!({"aud": "http://127.0.0.1", "exp": end, "sub": "mailto:load@load.example"});
    let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ES256"})), part(claims));
    let signature = key.sign(&random, signed.as_bytes()).map_err(failed).context("cannot sign")?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    let headers = vec![
        ("content-type", "application/octet-stream".to_owned()),
        ("content-encoding", "aes128gcm".to_owned()),
        ("ttl", "3600".to_owned()),
        ("urgency", "high".to_owned()),
        ("authorization", format!("vapid t={signed}.{signature}, k={public}")),
    ];
    let mut body = vec![0; 16];
    body.extend_from_slice(&4096u32.to_be_bytes());
    body.push(65);
    body.push(4);
    body.extend_from_slice(&[7; 64]);
    body.extend_from_slice(ID.as_bytes());
    body.extend_from_slice(&[9; 200]);
    Ok(Sample { path: "/wp/0000000123".to_owned(), headers, body })
}
