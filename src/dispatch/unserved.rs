//! Stands in for the channel actor of a channel that no provider serves: its tasks fail, or go to the next channel of their
//! fallback. They were planned while there was a provider; were they only dropped, they would never end.
//!
//! Started and watched by the channels' supervisor. What a crash loses the next incarnation takes up, as a channel actor does.

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::channel::{ChannelArguments, ChannelMessage};
use super::load::{LOAD_MAX, load};
use super::ready::Ready;
use super::sender::SenderContext;
use super::take_up::take_up;
use crate::domain::Outcome;
use crate::outcomes::{Answer, AnswerKind};
use crate::ownership::Begin;

#[derive(Debug, Default)]
pub struct UnservedActor;

impl Actor for UnservedActor {
    type Msg = ChannelMessage;
    type State = ChannelArguments;
    type Arguments = ChannelArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ChannelMessage>,
        arguments: ChannelArguments,
    ) -> Result<ChannelArguments, ActorProcessingErr> {
        arguments.context.dispatch.install(arguments.channel, arguments.class, myself);
        Ok(arguments)
    }

    async fn post_start(
        &self,
        _: ActorRef<ChannelMessage>,
        arguments: &mut ChannelArguments,
    ) -> Result<(), ActorProcessingErr> {
        if arguments.reborn {
            let ready = take_up(&arguments.context, arguments.channel, arguments.class).await?;
            end_all(arguments, ready).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<ChannelMessage>,
        message: ChannelMessage,
        arguments: &mut ChannelArguments,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChannelMessage::Ready(ready, _) => end_all(arguments, ready).await,
            // It has nothing in flight.
            ChannelMessage::Drain(reply) => drop(reply.send(())),
            _ => {}
        }
        Ok(())
    }
}

async fn end_all(ChannelArguments { context, channel, .. }: &ChannelArguments, ready: Vec<Ready>) {
    let mut waiting = ready.into_iter().peekable();
    while waiting.peek().is_some() {
        let (bare, mut whole): (Vec<_>, Vec<_>) =
            waiting.by_ref().take(LOAD_MAX).partition(|ready| ready.payload.is_none());
        if !bare.is_empty() {
            whole.extend(load(context, bare).await);
        }
        let answers: Vec<Answer> = whole.into_iter().filter_map(|ready| end(context, ready)).collect();
        if !answers.is_empty() {
            tracing::warn!(%channel, count = answers.len(), "no provider serves the channel any more: its tasks fail");
            context.settler.submit(answers).await;
        }
    }
}

/// The answer that ends a task, if nobody else has it.
fn end(context: &SenderContext, ready: Ready) -> Option<Answer> {
    let mut payload = ready.payload?;
    if context.ownership.begin(ready.task) != Begin::Yes {
        return None;
    }
    let refused =
        || AnswerKind::Outcome(Outcome::BadRequest { reason: "no provider serves the channel any more".into() });
    let kind = payload.objection.take().unwrap_or_else(refused);
    Some(Answer {
        task: ready.task,
        attempt: ready.attempt,
        plan: payload.plan,
        was_scheduled: ready.scheduled,
        provider: "none".into(),
        asked_at: context.clock.now(),
        at: context.clock.now(),
        kind,
    })
}
