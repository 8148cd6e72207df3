/** The workerd configuration (Cap'n Proto text) of one edge worker: https://github.com/cloudflare/workerd workerd.capnp. */

export interface WorkerdConfig {
  /** `127.0.0.1:8080`. */
  listen: string;
  controlPlaneUrl: string;
  gatewayUrl: string;
  /** PEM roots of the mesh: the control plane, and an https gateway, are verified by them alone. */
  trustBundle: string;
  /** File of the bundled worker, relative to the configuration. */
  module: string;
  /** Text bindings. No secrets: those come by `secrets`. */
  texts: Readonly<Record<string, string>>;
  /** Binding -> environment variable. */
  secrets: Readonly<Record<string, string>>;
}

/** The worker reaches the control plane and the gateway, and nothing else. @throws TypeError when a URL is none */
export function workerdConfig(config: WorkerdConfig): string {
  const { texts, secrets, trustBundle } = config;
  const bindings = [
    '(name = "CONTROL", service = "control")',
    '(name = "GATEWAY", service = "gateway")',
    ...Object.entries(texts).map(([name, text]) => `(name = ${quote(name)}, text = ${quote(text)})`),
    ...Object.entries(secrets).map(
      ([name, variable]) => `(name = ${quote(name)}, fromEnvironment = ${quote(variable)})`,
    ),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = .worker),
    (name = "control", external = ${external(config.controlPlaneUrl, trustBundle)}),
    (name = "gateway", external = ${external(config.gatewayUrl, trustBundle)}),
    (name = "internet", network = (allow = []))
  ],
  sockets = [(name = "http", address = ${quote(config.listen)}, http = (), service = "worker")]
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed ${quote(config.module)})],
  compatibilityDate = "2026-04-01",
  bindings = [
    ${bindings.join(',\n    ')}
  ]
);
`;
}

function external(text: string, trustBundle: string): string {
  const url = new URL(text);
  const secure = url.protocol === 'https:';
  const address = quote(`${url.hostname}:${url.port || (secure ? 443 : 80)}`);
  if (!secure) return `(address = ${address}, http = ())`;
  const host = quote(url.hostname.replace(/^\[|\]$/g, ''));
  const roots = certificates(trustBundle).map(quote).join(', ');
  const tls = `(trustBrowserCas = false, trustedCertificates = [${roots}])`;
  return `(address = ${address}, https = (options = (), tlsOptions = ${tls}, certificateHost = ${host}))`;
}

function certificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
}

/** A Cap'n Proto string literal: printable ASCII as it is, all else escaped byte by byte. */
function quote(text: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte);
    const plain = byte >= 0x20 && byte < 0x7f && char !== '"' && char !== '\\';
    out += plain ? char : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `"${out}"`;
}
