use serde_json::json;

use super::users::{ok, put};
use super::world::World;

#[tokio::test]
async fn preferences_change_what_they_name() {
    let world = World::new();
    let path = "/v1/users/alice/preferences";
    world.get(path).await.assert_problem(404);
    let said = json!({
        "preferences": [
            {"category": "marketing", "channel": "email", "enabled": false},
            {"category": "social", "channel": "push", "enabled": true},
            {"category": "security", "channel": "sms", "enabled": true},
        ],
        "quiet_hours": {"from": "22:30", "to": "07:00"},
        "digest_hour": 0,
        "preferred_channel": "push",
    });
    let answer = ok(put(&world, path, &said).await);
    assert_eq!(answer["preferences"].as_array().expect("a list").len(), 3);
    let change = json!({
        "preferences": [
            {"category": "social", "channel": "push", "enabled": null},
            {"category": "marketing", "channel": "sms", "enabled": false},
        ],
        "quiet_hours": "never",
    });
    let expected = json!({
        "preferences": [
            {"category": "marketing", "channel": "email", "enabled": false},
            {"category": "marketing", "channel": "sms", "enabled": false},
            {"category": "security", "channel": "sms", "enabled": true},
        ],
        "quiet_hours": "never",
        "digest_hour": 0,
        "preferred_channel": "push",
    });
    assert_eq!(ok(put(&world, path, &change).await), expected);
    assert_eq!(ok(world.get(path).await), expected);
    // What was read may be sent back.
    assert_eq!(ok(put(&world, path, &expected).await), expected);
    let back = json!({"quiet_hours": null, "digest_hour": null, "preferred_channel": null});
    let answer = ok(put(&world, path, &back).await);
    assert!(answer["quiet_hours"].is_null() && answer["digest_hour"].is_null(), "{answer}");
    assert_eq!(answer["preferences"].as_array().expect("a list").len(), 3);
}

#[tokio::test]
async fn preferences_that_cannot_hold_are_refused() {
    let world = World::new();
    let path = "/v1/users/alice/preferences";
    let body = json!({"preferences": [
        {"category": "marketting", "channel": "email", "enabled": false},
        {"category": "security", "channel": "sms", "enabled": false},
        {"category": "social", "channel": "fax", "enabled": false},
        {"category": "social", "channel": "email", "enabled": 1},
        {"category": "social", "channel": "sms"},
        {"category": "social", "channel": "push", "enabled": true},
        {"category": "social", "channel": "push", "enabled": false},
        "social",
    ]});
    let answer = put(&world, path, &body).await;
    for (pointer, detail) in [
        ("/preferences/0/category", "did you mean `marketing`?"),
        ("/preferences/1/enabled", "users may not switch off `security`"),
        ("/preferences/2/channel", "is no channel"),
        ("/preferences/3/enabled", "true, false or null"),
        ("/preferences/4/enabled", "is required"),
        ("/preferences/6", "there twice"),
        ("/preferences/7", "must be an object"),
    ] {
        answer.assert_field(pointer, detail);
    }
    for (window, pointer, detail) in [
        (json!({"from": "22:00", "to": "22:00"}), "/quiet_hours", "whole day"),
        (json!({"from": "00:00", "to": "23:59"}), "/quiet_hours", "whole day"),
        (json!({"from": "22:00", "to": "21:30"}), "/quiet_hours", "whole day"),
        (json!({"from": "24:00", "to": "08:00"}), "/quiet_hours/from", "time of day"),
        (json!({"from": "22:00"}), "/quiet_hours/to", "is required"),
        (json!("always"), "/quiet_hours", "never"),
        (json!({"from": "22:00", "to": "08:00", "zone": "UTC"}), "/quiet_hours/zone", "is no field"),
    ] {
        put(&world, path, &json!({"quiet_hours": window})).await.assert_field(pointer, detail);
    }
    for hour in [json!(24), json!(-1), json!("8"), json!(8.5)] {
        put(&world, path, &json!({"digest_hour": hour})).await.assert_field("/digest_hour", "0 to 23");
    }
    put(&world, path, &json!({"preferred_channel": "fax"})).await.assert_field("/preferred_channel", "is no channel");
    world.get(path).await.assert_problem(404);
}
