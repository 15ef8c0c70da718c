//! Rows of campaigns and of their lists.

use std::time::Duration;

use super::*;
use crate::domain::{
    Audience, Campaign, CampaignCommand, CampaignId, CampaignKind, CampaignProgress, CampaignStatus, Canary,
    ChunkResult, Missed,
};

const ID: CampaignId = CampaignId(1 << 100 | 7);

fn campaign(audience: Audience) -> Campaign {
    Campaign {
        id: ID,
        tenant: "acme".into(),
        kind: CampaignKind::Asked,
        name: Some("Spring".into()),
        made_at: Timestamp(1_800_000_000_000),
        starts_at: Timestamp(1_800_000_060_000),
        message: NotificationRequest { campaign: Some(ID), source: Source::Campaign, ..request() },
        audience,
        is_counted: true,
        ceiling: Some(1_000_000),
        rate_per_second: Some(500),
        canary: Some(Canary { share: 0.01, wait_seconds: 300, bounces_max: 0.05, complaints_max: 0.001 }),
        made_by: Some("rule weekly".into()),
        body_hash: u64::MAX,
    }
}

fn audiences() -> [Audience; 4] {
    let condition = r#"{"field":"plan","is":"pro"}"#;
    [
        Audience::List { list: "lst_1".into() },
        Audience::Subject { subject: "series:42".into() },
        Audience::Segment { condition: condition.into() },
        Audience::Day {
            attribute: "membership_expires_at".into(),
            day: 20_780,
            first_part: 4,
            end_part: 8,
            condition: Some(condition.into()),
        },
    ]
}

fn progress() -> CampaignProgress {
    CampaignProgress {
        status: CampaignStatus::Stopped,
        reason: Some("too many bounced".into()),
        total: Some(100),
        counted: 100,
        handed_on: 40,
        succeeded: 30,
        failed: 6,
        skipped: vec![("no_address".into(), 3), ("suppressed".into(), 1)],
        rows_read: 140,
        cursor: [0, 1, 255].into(),
        chunks: 2,
        started_at: Some(Timestamp(1_800_000_060_000)),
        ended_at: Some(Timestamp(1_800_000_120_000)),
        written_at: Timestamp(1_800_000_120_001),
        paused_at: None,
        paused: Duration::ZERO,
    }
}

#[test]
fn a_campaign_is_read_as_it_was_written_whoever_it_is_for() {
    for (index, audience) in audiences().into_iter().enumerate() {
        let campaign = campaign(audience);
        let golden = check_golden(&format!("campaign_{index}_v1.bin"), &encode_campaign(&campaign));
        assert_eq!(decode_campaign(ID, &golden), Ok(campaign));
    }
}

#[test]
fn what_becomes_of_a_campaign_is_read_as_it_was_written() {
    let golden = check_golden("campaign_progress_v1.bin", &encode_campaign_progress(&progress()));
    assert_eq!(decode_campaign_progress(&golden), Ok(progress()));
    let paused = CampaignProgress {
        paused_at: Some(Timestamp(1_800_000_000_000)),
        paused: Duration::from_secs(60),
        ..progress()
    };
    let golden = check_golden("campaign_progress_v2.bin", &encode_campaign_progress(&paused));
    assert_eq!(decode_campaign_progress(&golden), Ok(paused));
    let at = Timestamp(1_800_000_000_000);
    let golden = check_golden("campaign_command_v1.bin", &encode_campaign_command(CampaignCommand::Cancel, at));
    assert_eq!(decode_campaign_command(&golden), Ok((CampaignCommand::Cancel, at)));
    let members = vec![("alice".into(), NotificationId(place())), ("a@example.com".into(), NotificationId(place()))];
    let golden = check_golden("campaign_chunk_v1.bin", &encode_chunk(&members));
    assert_eq!(decode_chunk(&golden), Ok(members));
    let result = ChunkResult { succeeded: 3, failed: 2, skipped: vec![("suppressed".into(), 1)] };
    let golden = check_golden("campaign_result_v1.bin", &encode_chunk_result(&result));
    assert_eq!(decode_chunk_result(&golden), Ok(result));
    let missed = Missed {
        member: "bob".into(),
        notification: "ntf_1".into(),
        status: "failed".into(),
        reason: "550 no such user".into(),
    };
    let missed = vec![
        missed,
        Missed { member: "eve".into(), notification: "".into(), status: "invalid".into(), reason: "x".into() },
    ];
    let golden = check_golden("campaign_missed_v1.bin", &encode_missed(&missed));
    assert_eq!(decode_missed(&golden), Ok(missed));
}

#[test]
fn a_member_of_a_list_and_the_list_are_read_as_they_were_written() {
    let member = r#"{"email":"a@example.com","data":{"n":1}}"#;
    let golden = check_golden("list_member_v1.bin", &encode_list_member(member));
    assert_eq!(decode_list_member(&golden), Ok(member));
    let head = r#"{"name":"spring","members":3,"bytes":99,"created_at":7,"body_hash":5,"complete":true}"#;
    let golden = check_golden("list_head_v1.bin", &encode_list_head(head));
    assert_eq!(decode_list_head(&golden), Ok(head));
    for damaged in [&b""[..], b"\x02{}", b"\x01\xff"] {
        assert!(decode_list_member(damaged).is_err() && decode_list_head(damaged).is_err());
    }
}

#[test]
fn a_request_and_a_plan_of_a_campaign_say_of_which() {
    let request = NotificationRequest { campaign: Some(ID), source: Source::Campaign, ..request() };
    let golden = check_golden("request_of_campaign_v1.bin", &encode_request(&request));
    assert_eq!(decode_request(&golden), Ok(request));
    let plan = Plan { campaign: Some(ID), ..plan() };
    let golden = check_golden("plan_of_campaign_v1.bin", &in_buffer(|bytes| encode_plan(&plan, bytes)));
    assert_eq!(decode_plan(place(), &golden), Ok(plan));
}

fn any_skipped() -> impl Strategy<Value = Vec<(Box<str>, u64)>> {
    prop::collection::vec((text(), any::<u64>()), 0..4)
}

proptest! {
    #[test]
    fn a_request_and_a_plan_of_any_campaign_read_back_are_those_written(id in any::<u128>(), request in any_request(), plan in any_plan()) {
        let campaign = Some(CampaignId(id));
        let request = NotificationRequest { campaign, ..request };
        prop_assert_eq!(decode_request(&encode_request(&request)), Ok(request));
        let plan = Plan { campaign, ..plan };
        let bytes = in_buffer(|bytes| encode_plan(&plan, bytes));
        prop_assert_eq!(decode_plan(plan.position, &bytes), Ok(plan));
    }

    #[test]
    fn a_campaign_read_back_is_the_one_written(
        message in any_request(),
        audience in prop::sample::select(audiences().to_vec()),
        names in (text(), maybe_text(), maybe_text()),
        numbers in any::<(u128, bool, Option<u64>, Option<u32>, u64)>(),
        canary in prop::option::of((0.001f64..0.999, any::<u32>(), 0.0f64..1.0, 0.0f64..1.0)),
        times in (any_time(), any_time()),
    ) {
        let (id, is_counted, ceiling, rate_per_second, body_hash) = numbers;
        let (tenant, name, made_by) = names;
        let canary = canary.map(|(share, wait_seconds, bounces_max, complaints_max)| {
            Canary { share, wait_seconds, bounces_max, complaints_max }
        });
        let campaign = Campaign {
            id: CampaignId(id),
            tenant,
            kind: CampaignKind::Scheduled,
            name,
            made_at: times.0,
            starts_at: times.1,
            message,
            audience,
            is_counted,
            ceiling,
            rate_per_second,
            canary,
            made_by,
            body_hash,
        };
        prop_assert_eq!(decode_campaign(campaign.id, &encode_campaign(&campaign)), Ok(campaign));
    }

    #[test]
    fn how_far_a_campaign_is_read_back_is_what_was_written(
        status in prop::sample::select(CampaignStatus::ALL.to_vec()),
        reason in maybe_text(),
        total in any::<Option<u64>>(),
        counts in any::<[u64; 5]>(),
        skipped in any_skipped(),
        cursor in prop::collection::vec(any::<u8>(), 0..20),
        chunks in any::<u32>(),
        times in (maybe_time(), maybe_time(), any_time()),
        pauses in (maybe_time(), any::<u32>()),
    ) {
        let [counted, handed_on, succeeded, failed, rows_read] = counts;
        let (started_at, ended_at, written_at) = times;
        let cursor = cursor.into();
        let progress = CampaignProgress {
            status, reason, total, counted, handed_on, succeeded, failed, skipped, rows_read, cursor, chunks, started_at,
            ended_at, written_at, paused_at: pauses.0, paused: Duration::from_millis(pauses.1.into()),
        };
        prop_assert_eq!(decode_campaign_progress(&encode_campaign_progress(&progress)), Ok(progress));
    }

    #[test]
    fn any_bytes_are_a_row_of_campaigns_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for bytes in [&bytes[..], &[&[1], &bytes[..]].concat()] {
            let _ = decode_campaign(ID, bytes);
            let _ = decode_campaign_progress(bytes);
            let _ = decode_campaign_command(bytes);
            let _ = decode_chunk(bytes);
            let _ = decode_chunk_result(bytes);
            let _ = decode_missed(bytes);
            let _ = decode_list_member(bytes);
        }
    }
}
