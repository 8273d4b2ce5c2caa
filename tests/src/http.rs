//! A client for the gateway that shows every answer, whatever its status.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Body, SendBody};

use crate::cluster::without_scheme;
use crate::eventually;

/// The gateway.
#[derive(Clone)]
pub struct Http {
    base: String,
    agent: Agent,
}

/// Files for TLS.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The authority that the gateway's certificate is of.
    pub ca: PathBuf,
    /// The certificate and the key that are shown to it.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What it said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn of(response: Response<Body>) -> Result<Self, ureq::Error> {
        let status: StatusCode = response.status();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let body = response.into_body().into_with_config().limit(u64::MAX).read_to_vec()?;
        Ok(Self { status: status.as_u16(), headers, body })
    }

    /// A header's value, empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn agent(timeout: Option<Duration>, tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(timeout)
        .tls_config(tls);
    config.build().into()
}

impl Http {
    /// A client for the gateway at `base`.
    pub fn new(base: &str) -> Self {
        Self::with_timeout(base, None)
    }

    /// The same; a request fails that takes longer than `timeout`.
    pub fn with_timeout(base: &str, timeout: Option<Duration>) -> Self {
        Self { base: base.to_owned(), agent: agent(timeout, TlsConfig::default()) }
    }

    /// The same, where the gateway's certificate is of an authority of its own, and wants to see one.
    ///
    /// # Panics
    /// Where a file is not what it should be.
    #[must_use]
    pub fn trusting(self, trust: Option<&Trust>) -> Self {
        let Some(Trust { ca, identity }) = trust else { return self };
        let read = |path: &Path| std::fs::read(path).expect("the file can be read");
        let cert = |path: &Path| Certificate::from_pem(&read(path)).expect("it is a certificate");
        let roots = RootCerts::Specific(Arc::new(vec![cert(ca)]));
        let shown = identity.as_ref().map(|(own, key)| {
            let key = PrivateKey::from_pem(&read(key)).expect("it is a key");
            ClientCert::new_with_certs(&[cert(own)], key)
        });
        let tls = TlsConfig::builder().root_certs(roots).client_cert(shown).build();
        Self { agent: agent(None, tls), ..self }
    }

    /// Where it listens: `ADDRESS:PORT`.
    pub fn address(&self) -> &str {
        without_scheme(&self.base)
    }

    /// `GET`
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// `GET` with headers.
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.call().and_then(Answer::of).expect("the gateway answers")
    }

    /// `DELETE`
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn delete(&self, path: &str) -> Answer {
        let request = self.agent.delete(format!("{}{path}", self.base));
        request.call().and_then(Answer::of).expect("the gateway answers")
    }

    /// Any request: its method, path, headers and body.
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.try_request(method, path, headers, body).expect("the gateway answers")
    }

    /// The same, where there may be no answer.
    ///
    /// # Errors
    /// Where there is none, or it does not come whole.
    ///
    /// # Panics
    /// Where the request makes no sense.
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let uri = format!("{}{path}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("the request makes sense");
        self.agent.run(request).and_then(Answer::of)
    }

    /// `POST` with a raw body.
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.post_as(path, "text/csv", body)
    }

    /// `POST` with a body of a content type.
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn post_as(&self, path: &str, content_type: &str, mut body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.base));
        let length = body.len().to_string();
        let request = request.header("content-type", content_type).header("content-length", length);
        let body = SendBody::from_reader(&mut body);
        request.send(body).and_then(Answer::of).expect("the gateway answers")
    }

    /// `POST` of a form: for each part its name, its file name if it is a file, and its content.
    ///
    /// # Panics
    /// Where there is no answer.
    pub fn form(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (name, file, content) in parts {
            body.extend_from_slice(b"--tally-form\r\nContent-Disposition: form-data; ");
            body.extend_from_slice(format!("name=\"{name}\"").as_bytes());
            if let Some(file) = file {
                body.extend_from_slice(format!("; filename=\"{file}\"").as_bytes());
            }
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--tally-form--\r\n");
        self.post_as(path, "multipart/form-data; boundary=tally-form", &body)
    }

    /// A job.
    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).json()
    }

    /// All jobs, page by page.
    ///
    /// # Panics
    /// Where a page is not one.
    pub fn jobs(&self) -> Vec<Value> {
        let (mut all, mut from) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/jobs?limit=1000{from}")).json();
            all.extend(page["jobs"].as_array().expect("a page has jobs").iter().cloned());
            let Some(next) = page["next"].as_str() else { return all };
            from = format!("&cursor={next}");
        }
    }

    /// Waits until a job has ended, and gives it.
    pub fn ended(&self, id: &str) -> Value {
        eventually("the job to end", || {
            let job = self.job(id);
            let state = job["state"].as_str().unwrap_or_default();
            ["succeeded", "failed", "cancelled"].contains(&state).then_some(job)
        })
    }
}
