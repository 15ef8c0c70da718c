//! A disk without room: nothing is lost, and nothing is sent whose outcome cannot be written. The disk is that of the embedded
//! backends.

use std::time::Duration;

use fanfare::domain::Channel;

use crate::world::{Place, Script, TestProvider, World, mail};

/// More than a settler holds.
const MAILS: usize = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn while_no_outcome_can_be_written_sending_stops_and_then_goes_on() {
    let mails = TestProvider::with_slots("mail", &[Channel::Email], 10);
    let world = World::start(Place::embedded(), vec![mails.clone()]).await;
    mails.script(std::iter::repeat_n(Script::Hang, 10));
    for _ in 0..MAILS / 2_000 {
        let requests = (0..2_000).map(|_| mail()).collect();
        world.acceptor.accept(requests).await.expect("accepted");
    }
    world.until(async || (world.engine.dispatch.room.backlog.ready() == MAILS).then_some(())).await;
    let held = mails.taken().len();
    world.space.fill(true);
    world.advance(Duration::from_secs(1)).await;
    mails.forget_script();
    mails.release();
    world.until(async || (mails.taken().len() > held).then_some(())).await;
    let mut before = 0;
    let mut still = 0;
    let sent = world
        .until(async || {
            let now = mails.taken().len();
            still = if now == before { still + 1 } else { 0 };
            before = now;
            (still == 25).then_some(now)
        })
        .await;
    assert!(sent < MAILS / 4, "{sent} were sent, and a crash would send them again");
    world.space.fill(false);
    world
        .until(async || {
            // The settler and the guard of the space both wait for their time.
            world.advance(Duration::from_secs(1)).await;
            (world.engine.dispatch.room.backlog.ready() == 0).then_some(())
        })
        .await;
    assert_eq!(mails.taken().len(), MAILS);
    world.balances().await;
}
