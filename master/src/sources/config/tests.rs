use super::*;

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "Bearer x".to_owned())
}

fn check(text: &str) -> Result<SourceConfig, BadSource> {
    let draft = text.parse()?;
    SourceConfig::check(vec![draft], env).map(|mut sources| sources.remove(0))
}

#[test]
fn what_is_not_said_is_as_documented() {
    let source = check("name=shop,url=http://data.example.org/x.csv?key=1,preset=plays").unwrap();
    assert_eq!((source.kind(), source.target_shown().as_str()), ("http", "count plays"));
    assert_eq!(source.shown(), "http://data.example.org/x.csv");
    assert_eq!((source.interval, source.timeout), (INTERVAL, TIMEOUT));
    assert_eq!((source.max_bytes, source.max_redirects), (10 << 30, 3));
    assert!(!source.allow_private && source.headers.is_empty());
}

#[test]
fn all_can_be_said_in_a_flag() {
    let source = check(
        "name=a.b-c_1, kind=sense, url=http://[::1]:9000, table=products, mode=replace, key=sku, \
         key=name, interval=500ms, timeout=2s, max_bytes=64MiB, max_redirects=1, \
         allow_private=true, header_env=Authorization:TOKEN, max_rejects=5%",
    )
    .unwrap();
    assert_eq!(source.kind(), "sense");
    assert_eq!(source.target_shown(), "table products (replace)");
    let Destination::Table(into) = &source.into else { panic!() };
    assert_eq!(into.key, ["sku", "name"]);
    assert_eq!(into.max_rejects.to_string(), "5%");
    assert_eq!(source.interval, Duration::from_millis(500));
    assert_eq!((source.max_bytes, source.max_redirects), (64 << 20, 1));
    assert_eq!(source.headers, [("Authorization".to_owned(), "Bearer x".to_owned())]);
}

#[test]
fn what_makes_no_sense_is_named() {
    for (text, word) in [
        ("url=http://a/,preset=plays", "a name must have"),
        ("name=../x,url=http://a/,preset=plays", "a name must have"),
        ("name=a,preset=plays", "needs a url or a path"),
        ("name=a,url=http://a/,path=/x,preset=plays", "not both"),
        ("name=a,url=ftp://a/,preset=plays", "http://"),
        ("name=a,url=http://u:p@a/,preset=plays", "user name"),
        ("name=a,kind=ftp,url=http://a/,preset=plays", "sense, http and folder"),
        ("name=a,kind=sense,path=/x,preset=plays", "needs a url"),
        ("name=a,kind=sense,url=http://a/?x=1,preset=plays", "no query"),
        ("name=a,path=x,preset=plays", "absolute"),
        ("name=a,path=/a*/x,preset=plays", "last part"),
        ("name=a,path=/,table=t,mode=replace", "merge"),
        ("name=a,path=/x/*.csv,table=t,mode=replace", "merge"),
        ("name=a,path=/x,preset=plays,allow_private=true", "url"),
        ("name=a,url=http://a/", "needs a table"),
        ("name=a,url=http://a/,preset=songs", "songs"),
        ("name=a,url=http://a/,mode=merge,preset=plays", "give table"),
        ("name=a,url=http://a/,table=t,mode=swap", "merge and replace"),
        ("name=a,url=http://a/,table=t,group_by=x", "group_by"),
        ("name=a,url=http://a/,table=t,preset=products", "own name"),
        ("name=a,url=http://a/,preset=plays,group_by=Song", "preset, or group_by"),
        ("name=a,url=http://a/,preset=plays,order=random", "first-seen"),
        ("name=a,url=http://a/,preset=plays,delimiter=x", "delimiter"),
        ("name=a,url=http://a/,preset=plays,interval=0s", "from 100 ms"),
        ("name=a,url=http://a/,preset=plays,interval=often", "a time"),
        ("name=a,url=http://a/,preset=plays,timeout=1y", "a time"),
        ("name=a,url=http://a/,preset=plays,max_bytes=0", "at least 1"),
        ("name=a,url=http://a/,preset=plays,max_bytes=1XB", "a size"),
        ("name=a,url=http://a/,preset=plays,max_redirects=4", "at most 3"),
        ("name=a,url=http://a/,preset=plays,allow_private=yes", "true or false"),
        ("name=a,url=http://a/,preset=plays,header_env=X:NONE", "NONE is not set"),
        ("name=a,url=http://a/,preset=plays,header_env=X y:TOKEN", "name of a header"),
        ("name=a,url=http://a/,preset=plays,header_env=Host:TOKEN", "Tally itself"),
        ("name=a,url=http://a/,preset=plays,intervall=10s", "intervall"),
        ("name=a,url", "KEY=VALUE"),
    ] {
        let error = check(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    let twice = "name=a,path=/x,preset=plays".parse::<SourceDraft>().unwrap();
    let error = SourceConfig::check(vec![twice.clone(), twice.clone()], env).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let error = SourceConfig::check(vec![twice; MAX_SOURCES + 1], env).unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
}
