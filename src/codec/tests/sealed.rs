//! Plans and rows of groups of which a part is sealed.

use proptest::prelude::*;

use super::*;
use crate::domain::{AttachmentReference, Delivery, Owner, Personal, SealedPart, UserKey};
use crate::store::SealedEntry;

fn full() -> Plan {
    let until = Timestamp(1_800_000_300_000);
    let file = AttachmentReference { url: "https://example.com/a.pdf".into(), name: "a.pdf".into(), media_type: None };
    Plan {
        content: request().content,
        group: Some(Group { key: ClaimKey(9), actor: Some("Alice".into()), until, is_first: false, gathered: None }),
        presentation: Presentation { locale: Some("de".into()), zone: Some("Europe/Berlin".into()), variant: None },
        delivery: Delivery { attachments: vec![file], collapse_key: Some("order-12345".into()) },
        campaign: Some(CampaignId(7)),
        ..plan()
    }
}

fn sealed(plan: &Plan, owner: &UserKey) -> Vec<u8> {
    in_buffer(|bytes| {
        encode_sealed_plan(plan, Some(owner), bytes);
        encode_personal(plan, bytes);
    })
}

fn owner(plan: &Plan) -> UserKey {
    UserKey { tenant: plan.tenant.clone(), user_id: plan.user_id.clone().unwrap_or_else(|| "\u{1}00ff".into()) }
}

fn bare(plan: &Plan, bytes: Vec<u8>) -> Plan {
    let mut bare = plan.clone();
    bare.erase();
    bare.personal = Personal::Sealed(Box::new(SealedPart { owner: owner(plan), bytes: bytes.into() }));
    bare
}

#[test]
fn what_was_first_written_of_sealed_plans_is_read_and_written_the_same() {
    let anonymous = Plan { user_id: None, campaign: None, presentation: Presentation::default(), ..full() };
    for (name, plan) in [("plan_sealed_v1.bin", full()), ("plan_sealed_of_address_v1.bin", anonymous)] {
        let golden = check_golden(name, &sealed(&plan, &owner(&plan)));
        let personal = in_buffer(|bytes| encode_personal(&plan, bytes));
        let mut read = decode_plan(place(), &golden).expect("read");
        assert_eq!(read, bare(&plan, personal.clone()));
        assert_eq!(in_buffer(|bytes| encode_plan(&read, bytes)), golden, "written as it was read");
        restore_personal(&mut read, &personal).expect("restored");
        assert_eq!(read, plan);
        let owns = plan.user_id.is_none().then(|| Box::new(Owner::User(owner(&plan))));
        assert!(matches!(read.personal, Personal::Here { of } if of == owns));
    }
    let mut erased = full();
    erased.erase();
    let golden = check_golden("plan_erased_v1.bin", &in_buffer(|bytes| encode_plan(&erased, bytes)));
    assert_eq!(decode_plan(place(), &golden), Ok(erased));
}

#[test]
fn what_was_first_written_of_sealed_rows_under_leaders_is_read_and_written_the_same() {
    let joined = Joined { offset: 7, actor: Some("Bob".into()), data: Some("{}".into()) };
    let bare = GroupEntry::Joined(vec![joined]).bare();
    let entry = SealedEntry { bare, owner: owner(&plan()), bytes: [1, 2, 3].into() };
    let entry = GroupEntry::Sealed(Box::new(entry));
    let golden = check_golden("group_sealed_v1.bin", &encode_group_entry(&entry));
    assert_eq!(decode_group_entry(&golden), Ok(entry));
}

#[test]
fn damaged_bytes_of_sealed_plans_are_told() {
    let bytes = sealed(&full(), &owner(&full()));
    for damaged in [&bytes[..1], &bytes[..4], &bytes[..20], &[7, 1, 0, 0, 0, 7, 0], &[7, 255, 255, 255, 255]] {
        assert!(decode_plan(place(), damaged).is_err(), "{damaged:?}");
    }
}

proptest! {
    #[test]
    fn a_plan_that_was_sealed_is_the_same_when_it_is_put_together_again(plan in any_plan(), more in any::<[bool; 4]>()) {
        let full = full();
        let mut plan = plan;
        plan.group = more[0].then_some(full.group).flatten();
        plan.presentation.zone = more[1].then_some(full.presentation.zone).flatten();
        if more[2] {
            plan.delivery = full.delivery;
        }
        plan.campaign = more[3].then_some(full.campaign).flatten();
        let personal = in_buffer(|bytes| encode_personal(&plan, bytes));
        let mut read = decode_plan(plan.position, &sealed(&plan, &owner(&plan))).expect("read");
        prop_assert_eq!(&read, &bare(&plan, personal.clone()));
        restore_personal(&mut read, &personal).expect("restored");
        prop_assert_eq!(read, plan);
    }
}
