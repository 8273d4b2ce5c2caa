//! The store in a database of a Postgres. Never shows a password.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;

use super::guard::{self, Guard};
use super::{Db, Dialect, StoreError, folder, migrate};

/// Connections, besides the guard's: those that write, and those that read for clients.
const CONNECTIONS: u32 = 8;

/// How long a server may take to let us in, or a query may wait for a connection. Short: a master that
/// waits for its store does nothing else.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How the server finds out that this machine is gone, which never closed its connections: within 30 s,
/// so that another master may start.
const KEEPALIVE: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Opens the store that a URL names, for a data folder, and brings it to the newest format.
pub(super) async fn open(url: &str, data: &Path) -> Result<Db, StoreError> {
    let options = options(url)?;
    let store = server_name(&options);
    let mut connection = connect(&options, &store).await?;
    check(&mut connection, &store).await?;
    guard::take_lock(&mut connection, &store).await?;
    migrate::run(&mut connection, Dialect::Postgres, &store).await?;
    let known: Option<(String,)> =
        sqlx::query_as("select folder from tally_lock").fetch_optional(&mut connection).await?;
    let known = known.map(|(folder,)| folder);
    let id = folder::check_elsewhere(data, known.as_deref(), &store)?;
    let sql = "insert into tally_lock (one, epoch, folder) values (1, 1, $1)
        on conflict (one) do update set epoch = tally_lock.epoch + 1 returning epoch";
    let (epoch,): (i64,) = sqlx::query_as(sql).bind(id).fetch_one(&mut connection).await?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
    let pool = pool.after_connect(|connection, _| Box::pin(prepare(connection)));
    let pool = pool.connect_lazy_with(options.clone());
    Ok(Db::Postgres(pool, Guard::watch(options, store, epoch, connection)))
}

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let is_one = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_one {
        return Err(StoreError::Url("it does not begin with postgres://".to_owned()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        let problem = match error {
            sqlx::Error::Configuration(problem) => problem.to_string(),
            error => error.to_string(),
        };
        StoreError::Url(problem)
    })?;
    let named = options.get_application_name().is_some();
    Ok(if named { options } else { options.application_name("tally") })
}

/// A database as people may be told of it, without its password.
pub(super) fn server_name(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let (user, port) = (options.get_username(), options.get_port());
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{host}:{port}/{database}")
}

/// A connection of its own.
pub(super) async fn connect(
    options: &PgConnectOptions,
    store: &str,
) -> Result<PgConnection, StoreError> {
    let unreachable = |problem| StoreError::Unreachable { store: store.to_owned(), problem };
    let connecting = async {
        let mut connection = options.connect().await?;
        prepare(&mut connection).await?;
        Ok(connection)
    };
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(|error| unreachable(problem(&error))),
        Err(_) => Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// What a server said, and what to do.
fn problem(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(said) = error else { return error.to_string() };
    let advice = match said.code().as_deref() {
        Some("28P01" | "28000") => {
            " (a password is taken from the URL, from PGPASSWORD, or from the file that PGPASSFILE names)"
        }
        Some("3D000") => " (make it with createdb)",
        _ => "",
    };
    format!("{}{advice}", said.message())
}

/// Sets what each connection relies on.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for (name, value) in KEEPALIVE {
        let set = sqlx::query("select set_config($1, $2, false)").bind(name).bind(value);
        set.execute(&mut *connection).await?;
    }
    // A commit that has been acknowledged outlives a power cut, whatever the server's default is.
    let sql = "select set_config('synchronous_commit', 'on', false)
        where current_setting('synchronous_commit') = 'off'";
    sqlx::query(sql).execute(&mut *connection).await?;
    connection.ping().await
}

/// That the database can hold a store.
async fn check(connection: &mut PgConnection, store: &str) -> Result<(), StoreError> {
    let sql =
        "select current_setting('server_encoding'), pg_is_in_recovery(), current_schema()::text";
    let found: (String, bool, Option<String>) =
        sqlx::query_as(sql).fetch_one(&mut *connection).await?;
    let problem = match found {
        (encoding, ..) if encoding != "UTF8" => {
            format!("its encoding is {encoding}, and UTF8 is needed (createdb --encoding=UTF8)")
        }
        (_, true, _) => "the server is a standby, which takes no writes".to_owned(),
        (.., None) => "its search_path names no schema that there is".to_owned(),
        _ => return Ok(()),
    };
    Err(StoreError::Unusable { store: store.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_without_its_password() {
        let url =
            "postgres://tom:hun%2Fter2@db.example:5433/tally?password=hunter3&sslmode=disable";
        let name = server_name(&options(url).unwrap());
        assert_eq!(name, "postgres://tom@db.example:5433/tally");
        for bad in ["mysql://tom:hunter2@x/y", "postgres://tom:hunter2@x:port/y", "hunter2"] {
            let error = options(bad).unwrap_err().to_string();
            assert!(
                error.contains("postgres://user@host") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
