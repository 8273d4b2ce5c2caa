//! `tally certs`: an authority of one's own, and certificates that it vouches for. For those who have none: a cluster
//! on a few machines, or a test. It knows no revocation: certificates end by themselves, and are few.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Subcommand;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;
use uuid::Uuid;

use tally_master::access::Scope;

use crate::args::OutputFormat;
use crate::exit::Kind;
use crate::output::show;

/// How far back certificates begin: clocks of machines differ.
const BEGIN_BEFORE: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Permissions of a private key: its owner's alone.
const KEY_MODE: u32 = 0o600;

/// Permissions of a certificate, which everybody may see.
const CERT_MODE: u32 = 0o644;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally certs ca                             (certs/ca.pem and ca.key: keep the key to yourself)
  tally certs server tally.example 10.0.0.5  (certs/tally.example.pem and .key, for the master)
  tally certs client slave-1 --scope join    (certs/slave-1.pem and .key)
  tally certs client alice --scope submit")]
pub(crate) struct CertsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an authority: ca.pem, which everybody is given, and ca.key, which nobody is
    Ca(CaArgs),
    /// Make a certificate for a master
    Server(ServerArgs),
    /// Make a certificate for a slave or a client
    Client(ClientArgs),
}

#[derive(Debug, clap::Args)]
struct CaArgs {
    /// Days that it is valid
    #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Debug, clap::Args)]
struct ServerArgs {
    /// The names and addresses by which it is reached; the files are named after the first
    #[arg(required = true, value_name = "NAME_OR_IP")]
    names: Vec<String>,
    #[command(flatten)]
    lasts: Lasts,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Debug, clap::Args)]
struct ClientArgs {
    /// Who it is for: this is what the log shows; the files are named after it
    name: String,
    /// What it may: join, read, submit, admin; may be repeated
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scope: Vec<Scope>,
    #[command(flatten)]
    lasts: Lasts,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Debug, clap::Args)]
struct Lasts {
    /// Days that it is valid
    #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// Where the files are
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
}

pub(crate) fn run(args: &CertsArgs, format: OutputFormat) -> anyhow::Result<()> {
    let (cert, key) = match &args.what {
        What::Ca(args) => ca(args)?,
        What::Server(args) => server(args)?,
        What::Client(args) => client(args)?,
    };
    let made = json!({ "certificate": cert, "key": key });
    show(format, &made, |_| format!("{}\n{}", cert.display(), key.display()))
}

/// The files that were made: certificate and key.
type Made = (PathBuf, PathBuf);

fn ca(args: &CaArgs) -> anyhow::Result<Made> {
    // A name of its own, so that two can be told apart in a bundle.
    let mark = Uuid::new_v4().simple().to_string();
    let mut params = params(&format!("Tally CA {}", &mark[..8]), args.days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write(&args.folder.dir, "ca", &ca.pem(), &ca.key().serialize_pem())
}

fn server(args: &ServerArgs) -> anyhow::Result<Made> {
    let first = args.names.first().context("a name is wanted")?;
    let mut params = params(first, args.lasts.days)?;
    params.subject_alt_names = args.names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(&args.folder.dir, first, params)
}

fn client(args: &ClientArgs) -> anyhow::Result<Made> {
    let mut params = params(&args.name, args.lasts.days)?;
    let uri = |scope: &Scope| Ia5String::try_from(format!("urn:tally:scope:{scope}"));
    let uris = args.scope.iter().map(|scope| Ok(SanType::URI(uri(scope)?)));
    params.subject_alt_names = uris.collect::<Result<_, rcgen::Error>>()?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(&args.folder.dir, &args.name, params)
}

fn san(name: &str) -> anyhow::Result<SanType> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || Kind::Usage.error(format!("{name:?} is neither a host's name nor an address"));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(wrong());
    }
    Ok(SanType::DnsName(Ia5String::try_from(name).map_err(|_| wrong())?))
}

#[expect(clippy::disallowed_methods, reason = "certificates are of a time of day")]
fn params(name: &str, days: u32) -> anyhow::Result<CertificateParams> {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - BEGIN_BEFORE).into();
    params.not_after = (now + DAY * days).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// A certificate that the folder's authority vouches for.
fn issue(folder: &Path, name: &str, params: CertificateParams) -> anyhow::Result<Made> {
    let read = |file: &str| {
        let path = folder.join(file);
        let advice = || format!("{}; make an authority first: tally certs ca", path.display());
        fs::read_to_string(&path).with_context(advice)
    };
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem")?, KeyPair::from_pem(&read("ca.key")?)?)?;
    let mut params = params;
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?;
    write(folder, name, &cert.pem(), &key.serialize_pem())
}

/// Writes both files, and overwrites none: a key that is gone can not be had again.
fn write(folder: &Path, name: &str, cert: &str, key: &str) -> anyhow::Result<Made> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(Kind::Usage.error(format!("{name:?} can not be a file's name")));
    }
    // An address of IPv6 is a name, too.
    let file = name.replace([':', '*'], "_");
    let paths = [folder.join(format!("{file}.pem")), folder.join(format!("{file}.key"))];
    for path in &paths {
        if path.symlink_metadata().is_ok() {
            let text = format!("{} is there already, and is not overwritten", path.display());
            return Err(Kind::Usage.error(text));
        }
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| folder.display().to_string())?;
    for (path, text, mode) in [(&paths[1], key, KEY_MODE), (&paths[0], cert, CERT_MODE)] {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| path.display().to_string())?;
    }
    let [cert, key] = paths;
    Ok((cert, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_and_what_is_neither() {
        assert!(matches!(san("10.0.0.5"), Ok(SanType::IpAddress(_))));
        assert!(matches!(san("::1"), Ok(SanType::IpAddress(_))));
        assert!(matches!(san("tally.example"), Ok(SanType::DnsName(_))));
        for wrong in ["", "a b", "https://x", "a/b"] {
            assert!(san(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_overwritten_and_keys_are_their_owners() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let dir = || Folder { dir: folder.path().join("certs") };
        let (_, key) = ca(&CaArgs { days: 1, folder: dir() }).unwrap();
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, KEY_MODE);
        let before = fs::read(&key).unwrap();
        assert!(ca(&CaArgs { days: 1, folder: dir() }).is_err());
        assert_eq!(fs::read(&key).unwrap(), before);
        let lasts = || Lasts { days: 1 };
        let alice = |name: &str| {
            let (name, scope) = (name.to_owned(), vec![Scope::Read]);
            client(&ClientArgs { name, scope, lasts: lasts(), folder: dir() })
        };
        assert!(alice("alice").is_ok() && alice("alice").is_err());
        assert!(alice("../alice").is_err() && alice("ca").is_err());
    }
}
