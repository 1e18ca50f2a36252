// The programs with which doctor tries a real request: each sends `Authorization: Bearer $DOCTOR_TOKEN`.

export interface Runtime {
  readonly name: string;
  /** Looked up on PATH. */
  readonly command: string;
  readonly versionArgs: readonly string[];
  /** A file that has to be there: its name and content. */
  readonly source?: (url: string) => { readonly name: string; readonly text: string };
  /** `source` is the file's path. */
  readonly args: (url: string, source: string) => readonly string[];
  /** Run instead of `command`. */
  readonly runs?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What to set where it does not come through, or does not trust the CA. */
  readonly advice: string;
}

const version = ["--version"] as const;

export const runtimes: readonly Runtime[] = [
  {
    name: "curl",
    command: "curl",
    versionArgs: version,
    args: (url) => ["-q", "-sS", "-H", `Authorization: Bearer ${inShell}`, url],
    advice: "HTTPS_PROXY and CURL_CA_BUNDLE; a ~/.curlrc or --cacert goes before them",
  },
  {
    name: "wget",
    command: "wget",
    versionArgs: version,
    args: (url) => ["-nv", "-O", "/dev/null", `--header=Authorization: Bearer ${inShell}`, url],
    advice: "https_proxy, and WGETRC to a file with ca_certificate",
  },
  {
    name: "git",
    command: "git",
    versionArgs: version,
    args: (url) => ["-c", `http.extraHeader=Authorization: Bearer ${inShell}`, "ls-remote", url],
    advice: "HTTPS_PROXY and GIT_SSL_CAINFO; http.proxy and http.sslCAInfo in a git configuration go before them",
  },
  {
    name: "Node.js",
    command: "node",
    versionArgs: version,
    args: (url) => [
      "-e",
      `fetch(${JSON.stringify(url)}, { headers: { authorization: "Bearer " + process.env.DOCTOR_TOKEN } }).then((answer) => answer.text())`,
    ],
    advice:
      "NODE_USE_ENV_PROXY=1 and NODE_EXTRA_CA_CERTS; Node.js before 22.21 and 24.5 follows no proxy variables: use a newer one, or undici's EnvHttpProxyAgent",
  },
  {
    name: "Deno",
    command: "deno",
    versionArgs: version,
    args: (url) => [
      "eval",
      `await (await fetch(${JSON.stringify(url)}, { headers: { authorization: "Bearer " + Deno.env.get("DOCTOR_TOKEN") } })).text()`,
    ],
    advice: "HTTPS_PROXY and DENO_CERT",
  },
  {
    name: "Bun",
    command: "bun",
    versionArgs: version,
    args: (url) => [
      "-e",
      `await (await fetch(${JSON.stringify(url)}, { headers: { authorization: "Bearer " + process.env.DOCTOR_TOKEN } })).text()`,
    ],
    advice: "HTTPS_PROXY and NODE_EXTRA_CA_CERTS",
  },
  {
    name: "Python urllib",
    command: "python3",
    versionArgs: version,
    args: (url) => [
      "-c",
      `import os, urllib.request as u
u.urlopen(u.Request(${JSON.stringify(url)}, headers={"Authorization": "Bearer " + os.environ["DOCTOR_TOKEN"]})).read()`,
    ],
    advice: "HTTPS_PROXY and SSL_CERT_FILE",
  },
  {
    name: "Java",
    command: "javac",
    runs: "java",
    versionArgs: ["-version"],
    source: (url) => ({
      name: "Doctor.java",
      text: `public class Doctor {
  public static void main(String[] args) throws Exception {
    var connection = java.net.URI.create(${JSON.stringify(url)}).toURL().openConnection();
    connection.setRequestProperty("Authorization", "Bearer " + System.getenv("DOCTOR_TOKEN"));
    connection.getInputStream().readAllBytes();
  }
}
`,
    }),
    args: (_url, source) => [source],
    advice: "JAVA_TOOL_OPTIONS with https.proxyHost, https.proxyPort and javax.net.ssl.trustStore",
  },
  {
    name: "Go",
    command: "go",
    versionArgs: ["version"],
    source: (url) => ({
      name: "doctor.go",
      text: `package main

import (
	"net/http"
	"os"
)

func main() {
	request, _ := http.NewRequest("GET", ${JSON.stringify(url)}, nil)
	request.Header.Set("Authorization", "Bearer "+os.Getenv("DOCTOR_TOKEN"))
	if _, err := http.DefaultClient.Do(request); err != nil {
		println(err.Error())
		os.Exit(1)
	}
}
`,
    }),
    args: (_url, source) => ["run", source],
    env: { GO111MODULE: "off", CGO_ENABLED: "0" },
    advice: "HTTPS_PROXY and SSL_CERT_FILE; on macOS and Windows Go asks the system's store: keyswap ca install",
  },
  {
    name: "Ruby",
    command: "ruby",
    versionArgs: version,
    args: (url) => [
      "-rnet/http",
      "-e",
      `uri = URI(${JSON.stringify(url)}); Net::HTTP.start(uri.host, uri.port, use_ssl: true) { |http| http.get(uri.path, "Authorization" => "Bearer " + ENV["DOCTOR_TOKEN"]) }`,
    ],
    advice: "https_proxy and SSL_CERT_FILE",
  },
  {
    name: "PHP curl",
    command: "php",
    versionArgs: version,
    args: (url) => [
      "-r",
      `$c = curl_init(${JSON.stringify(url)}); curl_setopt($c, CURLOPT_RETURNTRANSFER, true);
curl_setopt($c, CURLOPT_HTTPHEADER, ["Authorization: Bearer " . getenv("DOCTOR_TOKEN")]);
if (curl_exec($c) === false) { fwrite(STDERR, curl_error($c)); exit(1); }`,
    ],
    advice: "HTTPS_PROXY, and PHP_INI_SCAN_DIR to a folder with an .ini file that sets curl.cainfo and openssl.cafile",
  },
];

/** Stands for the token in arguments of programs that read no variables; it is a placeholder, no value. */
export const inShell = "$DOCTOR_TOKEN";
