/**
 * For tests: the CRDs' expression of each rule, accepted and refused values. An expression that
 * CRDs spell differently is listed with each spelling.
 */
import type { Rule } from '../marks.ts';
import * as rules from './rules.ts';

export interface RuleCase {
  readonly rule: Rule<never>;
  readonly expressions: readonly string[];
  readonly accepts: readonly unknown[];
  readonly refuses: readonly unknown[];
}

const WASM_URL = (schemes: string) =>
  `isURL(self) ? (url(self).getScheme() in ${schemes}) : (isURL("http://" + self) && url("http://" + self).getScheme() in ${schemes})`;

export const ruleCases: readonly RuleCase[] = [
  {
    rule: rules.policyTarget,
    expressions: ['(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1'],
    accepts: [{}, { selector: {} }, { targetRef: {} }, { targetRefs: [] }],
    refuses: [
      { selector: {}, targetRef: {} },
      { selector: {}, targetRefs: [] },
      { targetRef: {}, targetRefs: [] },
    ],
  },
  {
    rule: rules.policyTargets,
    expressions: ['(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1'],
    accepts: [{}, { selector: {} }, { targetRefs: [] }],
    refuses: [{ selector: {}, targetRefs: [] }],
  },
  {
    rule: rules.filterTarget,
    expressions: ['(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1'],
    accepts: [{}, { workloadSelector: {} }, { targetRefs: [] }],
    refuses: [{ workloadSelector: {}, targetRefs: [] }],
  },
  {
    rule: rules.sameNamespace,
    expressions: ['self.size() == 0'],
    accepts: [''],
    refuses: ['other'],
  },
  {
    rule: rules.labelKeyWildcard,
    expressions: ['self.all(key, !key.contains("*"))'],
    accepts: [{}, { app: 'x' }, { '': 'x' }],
    refuses: [{ 'a*': 'x' }, { app: 'x', '*': 'y' }],
  },
  {
    rule: rules.labelKeyEmpty,
    expressions: ['self.all(key, key.size() != 0)'],
    accepts: [{}, { app: '' }],
    refuses: [{ '': 'x' }],
  },
  {
    rule: rules.labelValueWildcard,
    expressions: ['!self.contains("*")'],
    accepts: ['', 'reviews'],
    refuses: ['*', 'rev*'],
  },
  {
    rule: rules.port,
    expressions: ['0 < self && self <= 65535'],
    accepts: [1, 65535],
    refuses: [0, 65536],
  },
  {
    rule: rules.imageUrl,
    expressions: [WASM_URL('["", "http", "https", "file", "oci"]'), WASM_URL('["", "http", "https", "oci", "file"]')],
    accepts: [
      'oci://ghcr.io/x/y:v1',
      'http://a/b.wasm',
      'HTTPS://a/b.wasm',
      'file:///b.wasm',
      'ghcr.io/x/y@sha256:abc',
      'image',
      // Read a second time as an image reference, which it may be.
      'http://a:b/c',
      '/b.wasm',
    ],
    // Text before a colon is a scheme, also where a port was meant.
    refuses: ['ftp://a/b', 'localhost:5000/x', 'http://a\u0000b', 'unix:/x'],
  },
  {
    rule: rules.inlineValue,
    expressions: ['(has(self.valueFrom) ? self.valueFrom : "") != "HOST" || !has(self.value)'],
    accepts: [{}, { value: 'a' }, { valueFrom: 'INLINE', value: 'a' }, { valueFrom: 'HOST' }],
    refuses: [{ valueFrom: 'HOST', value: 'a' }],
  },
  {
    rule: rules.onePlugin,
    expressions: ['has(self.wasm) != has(self.lua)'],
    accepts: [{ wasm: {} }, { lua: {} }],
    refuses: [{}, { wasm: {}, lua: {} }],
  },
  {
    rule: rules.waypointContext,
    expressions: [
      'has(self.context) ? ((self.context == "WAYPOINT") ? has(self.waypoint) : !has(self.waypoint)) : !has(self.waypoint)',
    ],
    accepts: [{}, { context: 'ANY' }, { context: 'WAYPOINT', waypoint: {} }],
    refuses: [{ waypoint: {} }, { context: 'ANY', waypoint: {} }, { context: 'WAYPOINT' }],
  },
  {
    rule: rules.namesOrCertificates,
    // The CRD has it twice; the second time it means credentialName, but does not say so.
    expressions: [
      '(has(self.tlsCertificates) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1',
      '(has(self.credentialNames) ? 1 : 0) + (has(self.tlsCertificates) ? 1 : 0) <= 1',
    ],
    accepts: [{}, { tlsCertificates: [] }, { credentialNames: [] }, { credentialName: 'a', tlsCertificates: [] }],
    refuses: [{ tlsCertificates: [], credentialNames: [] }],
  },
  {
    rule: rules.nameOrNames,
    expressions: ['(has(self.credentialName) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1'],
    accepts: [{}, { credentialName: 'a' }, { credentialNames: ['a'] }],
    refuses: [{ credentialName: 'a', credentialNames: ['a'] }],
  },
  {
    rule: rules.selectorOrEndpoints,
    expressions: ['(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1'],
    accepts: [{}, { workloadSelector: {} }, { endpoints: [] }],
    refuses: [{ workloadSelector: {}, endpoints: [] }],
  },
  {
    rule: rules.cidrResolution,
    expressions: [
      '!((has(self.addresses) ? self.addresses : []).exists(k, k.contains("/")) && !((has(self.resolution) ? self.resolution : "NONE") in ["STATIC", "NONE"]))',
    ],
    accepts: [
      {},
      { addresses: ['10.0.0.0/8'] },
      { addresses: ['10.0.0.0/8'], resolution: 'STATIC' },
      { addresses: ['10.0.0.1'], resolution: 'DNS' },
    ],
    refuses: [{ addresses: ['10.0.0.1', '10.0.0.0/8'], resolution: 'DNS' }],
  },
  {
    rule: rules.noneWithoutEndpoints,
    expressions: ['((has(self.resolution) ? self.resolution : "NONE") == "NONE") ? !has(self.endpoints) : true'],
    accepts: [{}, { resolution: 'STATIC', endpoints: [] }],
    refuses: [{ endpoints: [] }, { resolution: 'NONE', endpoints: [{}] }],
  },
  {
    rule: rules.roundRobinEndpoints,
    expressions: [
      '((has(self.resolution) ? self.resolution : "") == "DNS_ROUND_ROBIN") ? ((has(self.endpoints) ? self.endpoints : []).size() <= 1) : true',
    ],
    accepts: [
      { resolution: 'DNS_ROUND_ROBIN' },
      { resolution: 'DNS_ROUND_ROBIN', endpoints: [{}] },
      { endpoints: [{}, {}] },
    ],
    refuses: [{ resolution: 'DNS_ROUND_ROBIN', endpoints: [{}, {}] }],
  },
  {
    rule: rules.namedHost,
    expressions: ['self != "*"'],
    accepts: ['*.example.com', 'a.example.com'],
    refuses: ['*'],
  },
  {
    rule: rules.portsOnce,
    expressions: ['self.all(l1, self.exists_one(l2, l1.number == l2.number))'],
    accepts: [[], [{ number: 80 }, { number: 81 }]],
    refuses: [[{ number: 80 }, { number: 80 }]],
  },
  {
    rule: rules.addressOrNetwork,
    expressions: ['has(self.address) || has(self.network)'],
    accepts: [{ address: '10.0.0.1' }, { network: 'n1' }],
    refuses: [{}, { ports: {} }],
  },
  {
    rule: rules.unixWithoutPorts,
    expressions: ['(has(self.address) ? self.address : "").startsWith("unix://") ? !has(self.ports) : true'],
    accepts: [{}, { address: 'unix:///a' }, { address: '10.0.0.1', ports: {} }],
    refuses: [{ address: 'unix:///a', ports: {} }],
  },
  {
    rule: rules.unixPath,
    expressions: ['self.startsWith("unix://") ? (self.substring(7, 8) == "/" || self.substring(7, 8) == "@") : true'],
    accepts: ['10.0.0.1', 'unix:///a', 'unix://@a'],
    refuses: ['unix://a', 'unix://'],
  },
  {
    rule: rules.unixFile,
    expressions: ['self.startsWith("unix://") ? !self.endsWith("/") : true'],
    accepts: ['unix:///a', 'a/'],
    refuses: ['unix:///a/'],
  },
  {
    rule: rules.portNames,
    expressions: ['self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))'],
    accepts: [{}, { http: 1, 'a-b': 2, ['a'.repeat(62)]: 3 }],
    refuses: [{ '': 1 }, { '-a': 1 }, { a_b: 1 }, { ['a'.repeat(63)]: 1 }, { 'a\n': 1 }],
  },
  {
    rule: rules.probeScheme,
    expressions: ['self in ["", "HTTP", "HTTPS"]'],
    accepts: ['', 'HTTP', 'HTTPS'],
    refuses: ['http', 'TCP'],
  },
  {
    rule: rules.accountsAlone,
    expressions: [
      '(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) && !has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true',
    ],
    accepts: [
      {},
      { serviceAccounts: ['a'], notServiceAccounts: ['b'], ipBlocks: [] },
      { principals: [], namespaces: [], notPrincipals: [], notNamespaces: [] },
    ],
    refuses: [
      { serviceAccounts: ['a'], principals: ['b'] },
      { notServiceAccounts: ['a'], notPrincipals: ['b'] },
      { serviceAccounts: ['a'], namespaces: ['b'] },
      { notServiceAccounts: ['a'], notNamespaces: ['b'] },
    ],
  },
  {
    rule: rules.portsNeedSelector,
    expressions: [
      'has(self.portLevelMtls) ? (((has(self.selector) && has(self.selector.matchLabels)) ? self.selector.matchLabels : {}).size() > 0) : true',
    ],
    accepts: [{}, { portLevelMtls: { 80: {} }, selector: { matchLabels: { app: 'a' } } }],
    refuses: [
      { portLevelMtls: { 80: {} } },
      { portLevelMtls: { 80: {} }, selector: {} },
      { portLevelMtls: { 80: {} }, selector: { matchLabels: {} } },
    ],
  },
  {
    rule: rules.portKeys,
    expressions: ['self.all(key, 0 < int(key) && int(key) <= 65535)'],
    accepts: [{}, { 1: {}, 65535: {} }],
    refuses: [{ 0: {} }, { 65536: {} }, { http: {} }, { '-1': {} }, { '8.0': {} }],
  },
  {
    rule: rules.oneKeySource,
    expressions: ['(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1'],
    accepts: [{}, { jwks: '' }, { jwksUri: '' }, { jwks_uri: '' }],
    refuses: [
      { jwks: '', jwksUri: '' },
      { jwks_uri: '', jwksUri: '' },
    ],
  },
  {
    rule: rules.webUrl,
    expressions: ['url(self).getScheme() in ["http", "https"]'],
    accepts: ['http://a', 'HTTPS://a/b?c', 'https://[::1]:8443/keys'],
    refuses: ['', 'a.example.com/keys', '/keys', 'ftp://a', 'https://a b'],
  },
  {
    rule: rules.upsertValue,
    expressions: ['((has(self.operation) ? self.operation : "") == "UPSERT") ? (self.value != "") : true'],
    accepts: [{}, { operation: 'REMOVE' }, { operation: 'UPSERT', value: 'request.host' }],
    refuses: [{ operation: 'UPSERT' }, { operation: 'UPSERT', value: '' }],
  },
  {
    rule: rules.removeValue,
    expressions: ['((has(self.operation) ? self.operation : "") == "REMOVE") ? !has(self.value) : true'],
    accepts: [{}, { value: 'a' }, { operation: 'REMOVE' }, { operation: 'UPSERT', value: 'a' }],
    refuses: [{ operation: 'REMOVE', value: 'a' }],
  },
];
