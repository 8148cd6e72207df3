/** x-request-id: who makes it, what is kept of it, and the reason of a trace in it (UuidRequestIdConfig, HCM tracing). */
import { any, type Json, listener, manager, prefix, to } from '../../harness/bootstrap-parts.ts';
import type { Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const hosts = [{ name: 'all', domains: ['*'], routes: [{ ...prefix('/'), ...to('echo') }] }];
const named = (name: string, options: Json) => listener(name, manager([], [], options, hosts));
const sampling = (random: number, overall = 100, client = 100) => ({
  random_sampling: { value: random },
  overall_sampling: { value: overall },
  client_sampling: { value: client },
});
const extension = (fields: Json) => ({
  request_id_extension: { typed_config: any('request_id.uuid.v3.UuidRequestIdConfig', fields) },
});
const EDGE = { use_remote_address: true, skip_xff_append: true };
/** Requests from here are internal: controls of Envoy's router count. */
const INTERNAL = {
  ...EDGE,
  internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
};

const listeners: Record<string, Json> = {
  'ids-untraced': {},
  'ids-none': { tracing: sampling(0) },
  'ids-all': { tracing: {} },
  'ids-half': { tracing: sampling(50, 60) },
  'ids-no-clients': { tracing: sampling(0, 100, 0.5) },
  'ids-fine': { tracing: sampling(0.014, 0.026) },
  'ids-unpacked': { tracing: {}, ...extension({ pack_trace_reason: false }) },
  'ids-not-by-id': { tracing: sampling(0), ...extension({ use_request_id_for_trace_sampling: false }) },
  'ids-edge': { ...EDGE, tracing: sampling(0) },
  'ids-edge-kept': { ...EDGE, tracing: sampling(0), preserve_external_request_id: true },
  'ids-edge-kept-all': { ...EDGE, tracing: {}, preserve_external_request_id: true },
  'ids-edge-kept-untraced': { ...EDGE, preserve_external_request_id: true },
  'ids-edge-kept-unpacked': {
    ...EDGE,
    tracing: {},
    preserve_external_request_id: true,
    ...extension({ pack_trace_reason: false }),
  },
  'ids-internal': { ...INTERNAL, tracing: sampling(0) },
  'ids-not-made': { tracing: {}, generate_request_id: false },
  'ids-not-made-edge': { ...EDGE, tracing: {}, generate_request_id: false, preserve_external_request_id: true },
  'ids-returned': { tracing: sampling(0), always_set_request_id_in_response: true },
  'ids-returned-not-made': { generate_request_id: false, always_set_request_id_in_response: true },
};

/** A given id: its number modulo 10000 is what sampling goes by. */
const id = (number: number, mark = '4') => `${number.toString(16).padStart(8, '0')}-aaaa-${mark}bbb-8ccc-dddddddddddd`;
const asked = { 'X-Client-Trace-Id': 'mine' };
const forced = { 'X-Envoy-Force-Trace': '1' };

const requests: [string, Record<string, string>][] = [
  ['none', {}],
  ['client', asked],
  ['forced', forced],
  ['both', { ...asked, ...forced }],
  ['given', { 'X-Request-Id': id(0) }],
  ['given-high', { 'X-Request-Id': id(9999) }],
  ['given-4999', { 'X-Request-Id': id(0x1_0000 * 10_000 + 4999) }],
  ['given-5000', { 'X-Request-Id': id(5000) }],
  ['given-5999', { 'X-Request-Id': id(5999, '9') }],
  ['given-6000', { 'X-Request-Id': id(6000, '9') }],
  ['given-sampled', { 'X-Request-Id': id(1, '9') }],
  ['given-client', { 'X-Request-Id': id(1, 'b') }],
  ['given-forced', { 'X-Request-Id': id(2, 'a') }],
  ['given-forced-high', { 'X-Request-Id': id(9999, 'a') }],
  ['given-other-mark', { 'X-Request-Id': id(3, '1') }],
  ['given-other-mark-high', { 'X-Request-Id': id(9999, '1') }],
  ['given-and-forced', { 'X-Request-Id': id(9999), ...forced }],
  ['given-and-client', { 'X-Request-Id': id(9999), ...asked }],
  ['given-sampled-client', { 'X-Request-Id': id(9999, '9'), ...asked }],
  ['given-upper', { 'X-Request-Id': id(0xabcdef).toUpperCase() }],
  ['given-text', { 'X-Request-Id': 'my own id' }],
  ['given-text-long', { 'X-Request-Id': 'not-hexadecimal-but-of-the-length-36' }],
  ['given-number', { 'X-Request-Id': '00000001' }],
  ['given-short', { 'X-Request-Id': '1' }],
  ['given-empty', { 'X-Request-Id': '' }],
  ['given-twice', { 'X-Request-Id': id(7), 'x-request-id': id(8, '9') }],
];

/** Where chance decides, only given ids say who is chosen. */
const byChance = new Set(['ids-half', 'ids-fine']);

export const requestIds: Theme = {
  listeners: Object.entries(listeners).map(([name, options]) => named(name, options)),
  cases: Object.keys(listeners).flatMap((name) =>
    on(
      name,
      'ids.test',
      requests
        .filter(([, given]) => !byChance.has(name) || given['X-Request-Id'])
        .map(([what, headers]): Spec => [`${name}-${what}`, '/', headers]),
    ),
  ),
};
