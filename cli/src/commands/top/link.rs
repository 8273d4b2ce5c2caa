//! The connection to the master: what changes comes through it, and what a user asks for. One that breaks
//! is made anew, and goes on where it was.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use tally_common::backoff::Backoff;
use tally_common::id::JobId;
use tally_proto::dial::Dial;

use super::model::{Details, News};
use crate::client::{Client, Events};

/// How long it is waited before a connection is tried again.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(5));

/// What a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// To cancel a job.
    Cancel(JobId),
    /// Its tasks and history.
    Details(JobId),
}

/// The ends that `top` holds of a connection.
pub(super) struct Link {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) news: mpsc::Receiver<News>,
}

impl Link {
    /// Connects, and keeps up the connection from then on until the link is dropped.
    ///
    /// # Errors
    /// Where there is no master at first: then it is the address that is wrong.
    pub(super) async fn open(dial: Dial) -> anyhow::Result<Self> {
        let mut client = Client::connect(&dial).await?;
        let events = client.watch_cluster("").await?;
        // Requests come from fingers; news wait here while a frame is drawn.
        let (requests, asked) = mpsc::channel(8);
        let (out, news) = mpsc::channel(256);
        let keeper = Keeper { dial, last: String::new(), asked, out };
        tokio::spawn(keeper.run(client, events));
        Ok(Self { requests, news })
    }
}

struct Keeper {
    dial: Dial,
    /// The id of the last event.
    last: String,
    asked: mpsc::Receiver<Request>,
    out: mpsc::Sender<News>,
}

/// Nobody looks any more.
struct Left;

impl From<mpsc::error::SendError<News>> for Left {
    fn from(_: mpsc::error::SendError<News>) -> Self {
        Self
    }
}

impl Keeper {
    async fn run(mut self, client: Client, events: Events) {
        let mut open = (client, events);
        while let Ok(why) = self.serve(open.0, open.1).await {
            match self.again(why).await {
                Ok(next) => open = next,
                Err(Left) => return,
            }
        }
    }

    /// Passes on what comes, until the connection breaks: then it says why.
    async fn serve(&mut self, mut client: Client, mut events: Events) -> Result<String, Left> {
        self.out.send(News::Up).await?;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Ok((id, event)) => {
                        self.last = id;
                        self.out.send(News::Event(event)).await?;
                    }
                    Err(error) => return Ok(format!("{error:#}")),
                },
                request = self.asked.recv() => {
                    let news = answer(&mut client, request.ok_or(Left)?).await;
                    self.out.send(news).await?;
                }
            }
        }
    }

    /// Tries until there is a connection again.
    async fn again(&mut self, mut why: String) -> Result<(Client, Events), Left> {
        let mut retry = 0;
        loop {
            self.out.send(News::Down(why)).await?;
            self.wait(RECONNECT.wait(retry, u64::from(std::process::id()))).await?;
            retry += 1;
            match self.connect().await {
                Ok(open) => return Ok(open),
                Err(error) => why = format!("{error:#}"),
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<(Client, Events)> {
        let mut client = Client::connect(&self.dial).await?;
        let events = client.watch_cluster(&self.last).await?;
        Ok((client, events))
    }

    async fn wait(&mut self, time: Duration) -> Result<(), Left> {
        let wait = sleep(time);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => return Ok(()),
                request = self.asked.recv() => {
                    if let Request::Cancel(_) = request.ok_or(Left)? {
                        let words = "there is no connection; nothing was cancelled".to_owned();
                        self.out.send(News::Said(words)).await?;
                    }
                }
            }
        }
    }
}

async fn answer(client: &mut Client, request: Request) -> News {
    let outcome = match request {
        Request::Cancel(id) => client
            .cancel(id)
            .await
            .map(|job| News::Said(format!("{} is {}", job.name, job.state.as_str()))),
        Request::Details(id) => details(client, id).await.map(News::Details),
    };
    outcome.unwrap_or_else(|error| News::Said(format!("{error:#}")))
}

async fn details(client: &mut Client, job: JobId) -> anyhow::Result<Box<Details>> {
    let (tasks, history) = (client.tasks(job).await?, client.history(job).await?);
    Ok(Box::new(Details { job, tasks, history }))
}
