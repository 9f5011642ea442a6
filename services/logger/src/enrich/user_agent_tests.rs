use super::*;

fn agents() -> UserAgents {
    UserAgents::new().expect("the embedded expressions compile")
}

/// agent, client, os, device, bot; "" stands for unknown.
const REAL: &[(&str, &str, &str, &str, bool)] = &[
    // Browsers on desks.
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome",
        "Windows",
        "Desktop",
        false,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.56",
        "Edge",
        "Windows",
        "Desktop",
        false,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
        "Safari",
        "Mac OS X",
        "Desktop",
        false,
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        "Firefox",
        "Linux",
        "Desktop",
        false,
    ),
    (
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        "Firefox",
        "Ubuntu",
        "Desktop",
        false,
    ),
    (
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome",
        "Chrome OS",
        "Desktop",
        false,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 OPR/110.0.0.0",
        "Opera",
        "Windows",
        "Desktop",
        false,
    ),
    // Phones.
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        "Mobile Safari",
        "iOS",
        "Mobile",
        false,
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
        "Chrome Mobile",
        "Android",
        "Mobile",
        false,
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
        "Samsung Internet",
        "Android",
        "Mobile",
        false,
    ),
    (
        "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
        "Firefox Mobile",
        "Android",
        "Mobile",
        false,
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile Safari/537.36",
        "Chrome Mobile",
        "Android",
        "Mobile",
        false,
    ),
    (
        "Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A.230901.001)",
        "Android",
        "Android",
        "Mobile",
        false,
    ),
    // Tablets.
    (
        "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
        "Mobile Safari",
        "iOS",
        "Tablet",
        false,
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome",
        "Android",
        "Tablet",
        false,
    ),
    // Rooms with a screen.
    (
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV Safari/537.36",
        "Safari",
        "Tizen",
        "TV",
        false,
    ),
    (
        "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
        "Safari",
        "",
        "Console",
        false,
    ),
    // Programs and libraries: clients, not bots.
    ("curl/8.7.1", "curl", "", "", false),
    ("PostmanRuntime/7.39.0", "PostmanRuntime", "", "", false),
    ("python-requests/2.32.3", "Python Requests", "", "", false),
    ("Python/3.12 aiohttp/3.9.5", "Python aiohttp", "", "", false),
    ("Python-urllib/3.11", "Python-urllib", "", "", false),
    ("python-httpx/0.27.0", "python-httpx", "", "", false),
    ("Go-http-client/1.1", "Go-http-client", "", "", false),
    ("okhttp/4.12.0", "okhttp", "", "", false),
    ("axios/1.7.2", "axios", "", "", false),
    ("Java/17.0.10", "Java", "", "", false),
    ("Apache-HttpClient/4.5.14 (Java/17.0.10)", "Apache-HttpClient", "", "", false),
    ("Wget/1.21.4", "Wget", "", "", false),
    ("inventory-sync/2.4 (build 17)", "inventory-sync", "", "", false),
    // Bots, by uap-core's list and by our words.
    (
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Googlebot",
        "",
        "Bot",
        true,
    ),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot", "", "Bot", true),
    (
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "GPTBot",
        "",
        "Bot",
        true,
    ),
    (
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "FacebookBot",
        "",
        "Bot",
        true,
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
        "HeadlessChrome",
        "Linux",
        "Bot",
        true,
    ),
    (
        "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "UptimeRobot",
        "",
        "Bot",
        true,
    ),
    ("kube-probe/1.30", "kube-probe", "", "Bot", true),
    ("Scrapy/2.11.2 (+https://scrapy.org)", "Scrapy", "", "Bot", true),
    // Noise.
    ("test", "", "", "", false),
    ("-", "", "", "", false),
    ("Mozilla/5.0", "", "", "", false),
    ("' OR 1=1 --", "", "", "", false),
];

#[test]
fn real_agents_are_read_as_their_owners_mean_them() {
    let agents = agents();
    let some = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
    let mut wrong = Vec::new();
    for &(ua, client, os, device, bot) in REAL {
        let expected = UserAgentFacts { client: some(client), os: some(os), device: some(device), bot };
        let got = agents.facts(ua);
        if got != expected {
            wrong.push(format!("{ua}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unknown_is_never_an_empty_string_or_other() {
    let agents = agents();
    for ua in ["", "   ", "Other", "/", "a/b", "Mozilla/5.0 ()"] {
        let facts = agents.facts(ua);
        for fact in [&facts.client, &facts.os, &facts.device] {
            assert!(
                fact.as_deref().is_none_or(|text| !text.is_empty() && text != "Other"),
                "{ua:?} gave {facts:?}"
            );
        }
    }
}

#[test]
fn a_second_look_is_answered_from_the_cache() {
    let agents = agents();
    let first = agents.facts("curl/8.7.1");
    assert_eq!(agents.cache.len(), 1);
    let second = agents.facts("curl/8.7.1");
    assert_eq!(first, second);
    let shared = first.client.zip(second.client);
    assert!(shared.is_some_and(|(a, b)| Arc::ptr_eq(&a, &b)));
}

#[test]
fn endless_agents_are_cut_inside_no_character_and_cached_by_what_is_left() {
    let agents = agents();
    let long = format!("curl/8.7.1 {}", "é".repeat(100_000));
    assert_eq!(agents.facts(&long).client.as_deref(), Some("curl"));
    let longer = format!("{long}é");
    agents.facts(&longer);
    assert_eq!(agents.cache.len(), 1);
}

#[test]
fn the_cache_stays_within_its_bytes_under_ever_new_agents() {
    let agents = agents();
    for n in 0..6_000 {
        let key = format!("{n} {}", "x".repeat(2_000));
        agents.cache.insert(key.into(), UserAgentFacts::default());
    }
    assert!(agents.cache.weight() <= CACHE_BYTES);
}
