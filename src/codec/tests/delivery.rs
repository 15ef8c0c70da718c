//! What goes along with a message.

use super::*;
use crate::domain::{AttachmentReference, Delivery};

fn attachments() -> Vec<AttachmentReference> {
    let attachment = |name: &str, media_type: Option<&str>| AttachmentReference {
        url: "https://files.example.com/1?key=2".into(),
        name: name.into(),
        media_type: media_type.map(Into::into),
    };
    vec![attachment("Rechnung März.pdf", Some("application/pdf")), attachment("b.bin", None)]
}

#[test]
fn what_was_first_written_of_deliveries_is_read_and_written_the_same() {
    let mut request = NotificationRequest {
        attachments: attachments(),
        collapse_key: Some("score:7".into()),
        locale: Some("de".into()),
        aggregate: Some(Aggregate { key: "like:1".into(), actor: None, window_seconds: None }),
        local_time: TimeOfDay::new(8, 30),
        ..request()
    };
    request.to.chat = Some("company:alice".into());
    let golden = check_golden("request_v6.bin", &encode_request(&request));
    assert_eq!(decode_request(&golden), Ok(request));
    let delivery = Delivery { attachments: attachments(), collapse_key: Some("score:7".into()) };
    let presentation = Presentation { locale: Some("de".into()), ..Presentation::default() };
    let task = |channel, address| TaskSpec { channel, address, due: None, endpoint: 0 };
    let tasks = vec![
        task(Channel::Push, Address::Device(Platform::Web, "{}".into())),
        task(Channel::Chat, Address::Chat("ops".into())),
    ];
    let plan = Plan { delivery, presentation, disposition: Disposition::Tasks(tasks), ..plan() };
    let golden = check_golden("plan_v5.bin", &in_buffer(|bytes| encode_plan(&plan, bytes)));
    assert_eq!(decode_plan(place(), &golden), Ok(plan));
}

#[test]
fn any_one_thing_that_goes_along_survives() {
    let check = |change: &dyn Fn(&mut NotificationRequest)| {
        let mut request = request();
        change(&mut request);
        assert_eq!(decode_request(&encode_request(&request)), Ok(request));
    };
    check(&|request| request.to.chat = Some("ops".into()));
    check(&|request| request.attachments = attachments());
    check(&|request| request.collapse_key = Some("k".into()));
}
