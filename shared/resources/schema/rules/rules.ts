/**
 * The rules of Istio's CRDs (`x-kubernetes-validations`) as code, by name. What a schema's types and limits say is not here, nor
 * the rules of Istio's webhook only (`../../checks`). `rule-cases.ts` names the expression of each.
 */
import { type Rule, rule } from '../marks.ts';
import { requestUriScheme } from '../request-uri.ts';

type Fields = Readonly<Record<string, unknown>>;

const count = (value: Fields, fields: readonly string[]) => fields.filter((name) => value[name] !== undefined).length;

function onlyOne(name: string, fields: readonly string[]): Rule<Fields> {
  return rule(name, `only one of ${fields.join(', ')} may be set`, (value) => count(value, fields) <= 1);
}

/** Policies apply to the workloads of a selector or to named resources. */
export const policyTarget = onlyOne('policy-target', ['selector', 'targetRef', 'targetRefs']);
export const policyTargets = onlyOne('policy-targets', ['selector', 'targetRefs']);
export const filterTarget = onlyOne('envoyfilter.target', ['workloadSelector', 'targetRefs']);
export const sameNamespace = rule(
  'policy-target.namespace',
  'must be left out: another namespace cannot be referred to',
  (namespace: string) => namespace === '',
);

export const labelKeyWildcard = rule(
  'selector.key-wildcard',
  'label keys may not have the wildcard "*"',
  (labels: Fields) => Object.keys(labels).every((key) => !key.includes('*')),
);
export const labelKeyEmpty = rule(
  'selector.key-empty',
  'label keys must not be empty',
  (labels: Fields) => !Object.hasOwn(labels, ''),
);
export const labelValueWildcard = rule(
  'selector.value-wildcard',
  'a wildcard is not supported in selectors: labels are compared whole',
  (value: string) => !value.includes('*'),
);

export const port = rule('port', 'must be a port, 1 to 65535', (value: number) => value > 0 && value <= 65535);

const IMAGE_SCHEMES: readonly (string | undefined)[] = ['', 'http', 'https', 'file', 'oci'];
/** A text that is no URL by itself is read as an image reference, without its scheme. */
export const imageUrl = rule(
  'wasm.url',
  'must be an http, https, file or oci URL, or an image reference',
  (url: string) => IMAGE_SCHEMES.includes(requestUriScheme(url) ?? requestUriScheme(`http://${url}`) ?? 'none'),
);
export const inlineValue = rule(
  'wasm.env-value',
  'may only be set when valueFrom is INLINE',
  (env: Fields) => env['valueFrom'] !== 'HOST' || env['value'] === undefined,
  ['value'],
);
export const onePlugin = rule(
  'trafficextension.plugin',
  'exactly one of wasm, lua must be set',
  (spec: Fields) => count(spec, ['wasm', 'lua']) === 1,
);

export const waypointContext = rule(
  'envoyfilter.waypoint',
  'must be set when context is WAYPOINT, and only then',
  (match: Fields) => (match['context'] === 'WAYPOINT') === (match['waypoint'] !== undefined),
  ['waypoint'],
);

export const namesOrCertificates = onlyOne('tls.certificates', ['credentialNames', 'tlsCertificates']);
export const nameOrNames = onlyOne('tls.credentials', ['credentialName', 'credentialNames']);

interface Endpoints {
  readonly addresses?: readonly string[] | undefined;
  readonly resolution?: string | undefined;
  readonly endpoints?: readonly unknown[] | undefined;
}
export const selectorOrEndpoints = onlyOne('serviceentry.endpoints', ['workloadSelector', 'endpoints']);
export const cidrResolution = rule(
  'serviceentry.cidr',
  'CIDR ranges are only for resolution NONE and STATIC',
  ({ addresses = [], resolution = 'NONE' }: Endpoints) =>
    resolution === 'NONE' || resolution === 'STATIC' || !addresses.some((address) => address.includes('/')),
  ['addresses'],
);
export const noneWithoutEndpoints = rule(
  'serviceentry.none-endpoints',
  'cannot be set with resolution NONE',
  ({ resolution = 'NONE', endpoints }: Endpoints) => resolution !== 'NONE' || endpoints === undefined,
  ['endpoints'],
);
export const roundRobinEndpoints = rule(
  'serviceentry.round-robin-endpoints',
  'must have at most one entry with resolution DNS_ROUND_ROBIN',
  ({ resolution, endpoints = [] }: Endpoints) => resolution !== 'DNS_ROUND_ROBIN' || endpoints.length <= 1,
  ['endpoints'],
);
export const namedHost = rule('serviceentry.host', '"*" is not allowed: name a domain', (host: string) => host !== '*');
export const portsOnce = rule(
  'serviceentry.port-numbers',
  'no port number may be used twice',
  (ports: readonly { number: number }[]) => new Set(ports.map(({ number }) => number)).size === ports.length,
);

const UNIX = 'unix://';
interface Endpoint {
  readonly address?: string | undefined;
  readonly network?: string | undefined;
  readonly ports?: Fields | undefined;
}
export const addressOrNetwork = rule(
  'workloadentry.address',
  'is required unless network is set',
  ({ address, network }: Endpoint) => address !== undefined || network !== undefined,
  ['address'],
);
export const unixWithoutPorts = rule(
  'workloadentry.unix-ports',
  'cannot be set: a unix socket has no ports',
  ({ address = '', ports }: Endpoint) => !address.startsWith(UNIX) || ports === undefined,
  ['ports'],
);
export const unixPath = rule(
  'workloadentry.unix-path',
  'a unix socket must be an absolute path or an abstract socket (unix://@name)',
  (address: string) => !address.startsWith(UNIX) || /^[/@]/.test(address.slice(UNIX.length)),
);
export const unixFile = rule(
  'workloadentry.unix-file',
  'a unix socket cannot be a folder',
  (address: string) => !address.startsWith(UNIX) || !address.endsWith('/'),
);
export const portNames = rule(
  'workloadentry.port-name',
  'port names must be letters, digits and "-" inside, at most 62',
  (ports: Fields) =>
    Object.keys(ports).every((name) => name.length < 63 && /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(name)),
);

export const probeScheme = rule('workloadgroup.probe-scheme', 'must be HTTP or HTTPS', (scheme: string) =>
  ['', 'HTTP', 'HTTPS'].includes(scheme),
);

export const accountsAlone = rule(
  'authorizationpolicy.service-accounts',
  'serviceAccounts and notServiceAccounts cannot be combined with principals or namespaces',
  (source: Fields) =>
    count(source, ['serviceAccounts', 'notServiceAccounts']) === 0 ||
    count(source, ['principals', 'notPrincipals', 'namespaces', 'notNamespaces']) === 0,
);

export const portsNeedSelector = rule(
  'peerauthentication.selector',
  'needs a selector with labels: ports belong to workloads',
  (spec: { portLevelMtls?: unknown; selector?: { matchLabels?: Fields | undefined } | undefined }) =>
    spec.portLevelMtls === undefined || Object.keys(spec.selector?.matchLabels ?? {}).length > 0,
  ['portLevelMtls'],
);
export const portKeys = rule('peerauthentication.port', 'keys must be ports, 1 to 65535', (ports: Fields) =>
  // As CEL's int() reads text: Go's ParseInt, which takes a sign and leading zeros.
  Object.keys(ports).every((key) => /^[+-]?\d{1,19}$/.test(key) && Number(key) > 0 && Number(key) <= 65535),
);

export const oneKeySource = onlyOne('requestauthentication.jwks', ['jwksUri', 'jwks_uri', 'jwks']);
export const webUrl = rule('requestauthentication.jwks-uri', 'must be an http:// or https:// URL', (url: string) =>
  ['http', 'https'].includes(requestUriScheme(url) ?? ''),
);

export const upsertValue = rule(
  'telemetry.upsert',
  'is required with operation UPSERT',
  // Without the field CEL itself fails, which refuses the tag as an empty value does.
  (tag: Fields) => tag['operation'] !== 'UPSERT' || (tag['value'] !== undefined && tag['value'] !== ''),
  ['value'],
);
export const removeValue = rule(
  'telemetry.remove',
  'must not be set with operation REMOVE',
  (tag: Fields) => tag['operation'] !== 'REMOVE' || tag['value'] === undefined,
  ['value'],
);
