//! What waited when the process ended is taken up when it starts again.

use std::sync::Arc;
use std::time::Duration;

use fanfare::domain::{Channel, NotificationId};

use crate::world::{Place, Script, TestProvider, World, mail, on_both};

on_both! {
    a_retry_that_came_due_while_the_process_was_down_is_sent_though_an_older_row_of_it_is_found_first
    an_older_row_of_a_retry_that_is_not_due_yet_sends_nothing_before_its_time
}

/// A mail whose third attempt is to be made in two minutes; the row of the second is still there.
async fn failed_twice(place: Place) -> (World, Arc<TestProvider>, NotificationId) {
    let provider = TestProvider::new("mail", &[Channel::Email]);
    provider.script([Script::transient(), Script::transient()]);
    let world = World::start(place, vec![provider.clone()]).await;
    let id = world.send(mail()).await;
    world.expect_states(id, &["scheduled"]).await;
    world.advance(Duration::from_secs(60)).await;
    world.until(async || (provider.taken().len() == 2).then_some(())).await;
    world.expect_states(id, &["scheduled"]).await;
    (world, provider, id)
}

/// Both rows, of the second attempt and of the third, are due at once after the restart.
async fn a_retry_that_came_due_while_the_process_was_down_is_sent_though_an_older_row_of_it_is_found_first(
    place: Place,
) {
    let (world, provider, id) = failed_twice(place).await;
    let world = world.restart_after(Duration::from_secs(150)).await;
    world.expect_states(id, &["sent"]).await;
    assert_eq!(provider.taken().iter().map(|message| message.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    world.balances().await;
}

/// The first row is found before the retry is due: it must neither be sent now nor be forgotten.
async fn an_older_row_of_a_retry_that_is_not_due_yet_sends_nothing_before_its_time(place: Place) {
    let (world, provider, id) = failed_twice(place).await;
    let world = world.restart_after(Duration::from_secs(60)).await;
    let other = world.send(mail()).await;
    world.expect_states(other, &["sent"]).await;
    assert_eq!(provider.taken().len(), 3, "two attempts, and the other mail");
    world.until(async || (world.engine.dispatch.room.backlog.ready() == 0).then_some(())).await;
    world.advance(Duration::from_secs(60)).await;
    world.expect_states(id, &["sent"]).await;
    world.balances().await;
}
