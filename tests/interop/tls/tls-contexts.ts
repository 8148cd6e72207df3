/** The TLS contexts that Envoy and Tulle are compared on: certificates, revocation lists, listeners and clients. */
import { createHash, X509Certificate } from 'node:crypto';
import {
  type Authority,
  intermediate,
  type Leaf,
  leaf,
  pem,
  reissued,
  rootAuthority,
  x509,
} from '../../mtls/certificates.ts';
import { der, type ListExtension, type ListOptions, revocationList } from '../../mtls/revocation-lists.ts';
import { type Json, say } from '../harness/bootstrap-parts.ts';
import { any, listener, manager } from '../shared-file/bootstrap.ts';

const HOUR_MS = 3_600_000;
const ago = (hours: number) => new Date(Date.now() - hours * HOUR_MS);
const ahead = (hours: number) => new Date(Date.now() + hours * HOUR_MS);
const inline = (text: string) => ({ inline_string: text });
const own = ({ cert, key }: Leaf) => ({ certificate_chain: inline(cert), private_key: inline(key) });
const named = (...names: { type: 'dns' | 'url' | 'email' | 'ip'; value: string }[]) => ({
  uri: '',
  names: new x509.SubjectAlternativeNameExtension(names),
});
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
const usage = (flags: number) => [new x509.KeyUsagesExtension(flags, true)];

export interface TlsCases {
  /** By name: what a listener demands of its clients. */
  readonly listeners: Record<string, Json>;
  readonly clients: Record<string, Leaf | undefined>;
  /** By name, what the listeners' contexts validate clients with. */
  readonly validations: Record<string, Json>;
  /** The names of the clients that tell something about a listener. */
  clientsOf(listener: string): string[];
}

const OPTIONAL = ['crl of all', 'crl and untrusted', 'name uri'];
const NAMED = /^(dns|mail|ip|other|two)/;
/** Clients that tell something of revocation lists alone, and of everything else alone. */
const FOR_LISTS = /revoked|keyed|mute|serial/;
const FOR_KEYS = /^for |^early/;
const PLAIN = ['none', 'good', 'direct', 'foreign'];

/** IssuingDistributionPoint with one flag: 1 is onlyContainsUserCerts, 2 onlyContainsCACerts. */
const scope = (flag: 1 | 2): ListExtension => ({
  id: [0x55, 0x1d, 28],
  critical: true,
  value: [0x30, 3, 0x80 + flag, 1, 0xff],
});
/** AuthorityKeyIdentifier with a key identifier of one byte, and the SubjectKeyIdentifier to it. */
const keyOf = (byte: number): ListExtension => ({
  id: [0x55, 0x1d, 35],
  critical: false,
  value: [0x30, 3, 0x80, 1, byte],
});
const ownKey = (byte: number) => new x509.Extension('2.5.29.14', false, new Uint8Array([4, 1, byte]));
/** A distinguished name of a common name, as a string of this tag. */
const nameOf = (tag: number, text: string) =>
  der(0x30, der(0x31, der(0x30, der(0x06, [0x55, 4, 3]), der(tag, Buffer.from(text)))));
/** OtherName of type 1.2.3.4 with a UTF8String. */
function otherName(text: string): x509.SubjectAlternativeNameExtension {
  const value = new TextEncoder().encode(text);
  const n = value.length;
  const der = [0x30, n + 11, 0xa0, n + 9, 0x06, 3, 0x2a, 3, 4, 0xa0, n + 2, 0x0c, n, ...value];
  return new x509.Extension('2.5.29.17', false, new Uint8Array(der)) as x509.SubjectAlternativeNameExtension;
}

export async function tlsCases(): Promise<TlsCases> {
  const root = await rootAuthority('root');
  const middle = await intermediate(root, 'middle');
  const low = await intermediate(middle, 'low');
  const bad = await intermediate(root, 'bad');
  const keyed = await intermediate(root, 'keyed', undefined, {}, [ownKey(7)]);
  const oldMiddle = await intermediate(root, 'old', undefined, { notBefore: ago(48), notAfter: ago(1) });
  const mute = await intermediate(root, 'mute', undefined, {}, usage(x509.KeyUsageFlags.keyCertSign));
  const oldRoot = await reissued(root, { notBefore: ago(48), notAfter: ago(1) });
  const other = await rootAuthority('other');
  const uri = (name: string) => ({ uri: `spiffe://mesh.test/${name}` });
  const clients: Record<string, Leaf | undefined> = {
    none: undefined,
    direct: await leaf(root, uri('direct')),
    good: await leaf(middle, uri('good')),
    deep: await leaf(low, uri('deep')),
    revoked: await leaf(middle, uri('revoked')),
    'revoked direct': await leaf(root, uri('revoked-direct')),
    'below a revoked one': await leaf(bad, uri('below')),
    keyed: await leaf(keyed, uri('keyed')),
    'below a mute one': await leaf(mute, uri('mute')),
    'long serial': await leaf(middle, { ...uri('long'), serial: `7f${'a1'.repeat(19)}` }),
    'high serial': await leaf(middle, { ...uri('high'), serial: `00ff${'00'.repeat(17)}01` }),
    foreign: await leaf(other, uri('good')),
    expired: await leaf(middle, { ...uri('expired'), notBefore: ago(48), notAfter: ago(1) }),
    early: await leaf(middle, { ...uri('early'), notBefore: ahead(1) }),
    'below an expired one': await leaf(oldMiddle, uri('old')),
    'for encryption': await leaf(root, { ...uri('e'), extra: usage(x509.KeyUsageFlags.keyEncipherment) }),
    'for agreement': await leaf(root, { ...uri('a'), extra: usage(x509.KeyUsageFlags.keyAgreement) }),
    'for signatures': await leaf(root, { ...uri('s'), extra: usage(x509.KeyUsageFlags.digitalSignature) }),
    'dns a': await leaf(root, named({ type: 'dns', value: 'a.shop.test' })),
    'dns wild': await leaf(root, named({ type: 'dns', value: '*.shop.test' })),
    'dns upper': await leaf(root, named({ type: 'dns', value: 'A.SHOP.test' })),
    'dns deep': await leaf(root, named({ type: 'dns', value: 'x.a.shop.test' })),
    mail: await leaf(root, named({ type: 'email', value: 'ops@shop.test' })),
    ip4: await leaf(root, named({ type: 'ip', value: '10.1.2.3' })),
    ip6: await leaf(root, named({ type: 'ip', value: '2001:db8::1' })),
    'other name': await leaf(root, { uri: '', names: otherName('user@shop.test') }),
    'two names': await leaf(root, named({ type: 'dns', value: 'b.test' }, { type: 'url', value: 'spiffe://x/y' })),
  };
  const list = (authority: Authority, options: ListOptions = {}) => revocationList(authority, options);
  const of = (name: string) => [clients[name]!.cert];
  const ofRoot = { revoked: [pem(bad), ...of('revoked direct')] };
  const ofMiddle = { revoked: of('revoked') };
  const [rootList, middleList] = [list(root, ofRoot), list(middle, ofMiddle)];
  const rest = `${list(low)}${list(bad)}`;
  const lists = (...texts: string[]) => ({ trusted_ca: inline(pem(root)), crl: inline(texts.join('\n')) });
  const leafOnly = { only_verify_leaf_cert_crl: true };
  const roots = { trusted_ca: inline(pem(root)) };
  const untrusted = { trust_chain_verification: 'ACCEPT_UNTRUSTED' };
  const pinned = new X509Certificate(clients['good']!.cert);
  const hash = sha256(pinned.raw).toString('hex');
  const colons = sha256(new X509Certificate(clients['direct']!.cert).raw)
    .toString('hex')
    .toUpperCase()
    .match(/../g)!
    .join(':');
  const spki = sha256(pinned.publicKey.export({ type: 'spki', format: 'der' })).toString('base64');
  const names = (...matchers: [string, Json, Json?][]) => ({
    ...roots,
    match_typed_subject_alt_names: matchers.map(([san_type, matcher, more]) => ({ san_type, matcher, ...more })),
  });
  const old = { thisUpdate: ago(48), nextUpdate: ago(1) };
  const validations: Record<string, Json> = {
    'crl of all': lists(rootList, middleList, rest),
    'crl of the root alone': lists(rootList),
    'crl of another alone': lists(list(other)),
    'crl of leaf, all there': { ...lists(rootList, middleList, rest), ...leafOnly },
    'crl of leaf, issuers alone': { ...lists(middleList, rest), ...leafOnly },
    'crl of leaf, root alone': { ...lists(rootList), ...leafOnly },
    'crl expired': lists(list(root, { ...ofRoot, ...old }), list(middle, { ...ofMiddle, ...old })),
    'crl expired, taken': {
      ...lists(list(root, { ...ofRoot, ...old }), list(middle, { ...ofMiddle, ...old })),
      allow_expired_certificate: true,
    },
    'crl of tomorrow': lists(list(root, { thisUpdate: ahead(1) }), list(middle, { thisUpdate: ahead(1) })),
    'crl without an end': lists(list(root, { nextUpdate: null }), list(middle, { nextUpdate: null })),
    'crl by a wrong key': lists(rootList, list(middle, { ...ofMiddle, signer: other })),
    'crl newest empty': lists(rootList, middleList, list(middle, { thisUpdate: ago(1) })),
    'crl newest expired': lists(rootList, middleList, list(middle, { thisUpdate: ago(2), nextUpdate: ago(1) })),
    'crl of leaves and authorities': lists(
      list(root, { ...ofRoot, extensions: [scope(2)] }),
      list(middle, { ...ofMiddle, extensions: [scope(1)] }),
    ),
    'crl of the wrong scope': lists(rootList, list(middle, { extensions: [scope(2)] })),
    'crl of this key': lists(rootList, list(keyed, { extensions: [keyOf(7)] })),
    'crl of another key': lists(rootList, list(keyed, { extensions: [keyOf(8)] })),
    'crl of either key': lists(
      rootList,
      list(keyed, { extensions: [keyOf(8)], thisUpdate: ago(1), revoked: of('keyed') }),
      list(keyed, { extensions: [keyOf(7)] }),
    ),
    'crl of long serials': lists(rootList, list(middle, { revoked: [...of('long serial'), ...of('high serial')] })),
    'crl of a mute one': lists(rootList, list(mute)),
    'crl of a name in other letters': lists(rootList, list(middle, { ...ofMiddle, issuer: nameOf(0x0c, 'MIDDLE') })),
    'crl of a name with spaces': lists(rootList, list(middle, { ...ofMiddle, issuer: nameOf(0x13, ' middle  ') })),
    'crl of a name that is longer': lists(rootList, list(middle, { ...ofMiddle, issuer: nameOf(0x13, 'middle x') })),
    'crl among the roots': { trusted_ca: inline(`${pem(root)}\n${rootList}\n${middleList}`) },
    'crl below a trusted intermediate': { trusted_ca: inline(pem(middle)), crl: inline(`${rootList}\n${middleList}`) },
    'crl of leaf below a trusted intermediate': {
      ...{ trusted_ca: inline(pem(middle)), crl: inline(middleList) },
      ...leafOnly,
    },
    'crl and untrusted': { ...lists(rootList, middleList, rest), ...untrusted },
    'depth 0': { ...roots, max_verify_depth: 0 },
    'depth 1': { ...roots, max_verify_depth: 1 },
    'depth 2': { ...roots, max_verify_depth: 2 },
    'depth 3': { ...roots, max_verify_depth: 3 },
    'roots alone': roots,
    'roots old and new': { trusted_ca: inline(`${pem(oldRoot)}\n${pem(root)}`) },
    'roots all old': { trusted_ca: inline(pem(oldRoot)) },
    'expired taken': { ...roots, allow_expired_certificate: true },
    'untrusted with roots': { ...roots, ...untrusted },
    'untrusted without': untrusted,
    'untrusted with names': { ...names(['URI', { suffix: '/good' }]), ...untrusted },
    'hash alone': { verify_certificate_hash: [hash, colons] },
    'hash with roots': { ...roots, verify_certificate_hash: [hash] },
    'key alone': { verify_certificate_spki: [spki] },
    'key or hash': { ...roots, verify_certificate_spki: [spki], verify_certificate_hash: [colons] },
    'hash and names': { ...names(['URI', { suffix: '/direct' }]), verify_certificate_hash: [hash, colons] },
    'name uri': names(['URI', { exact: 'spiffe://mesh.test/good' }]),
    'name uri prefix': names(['URI', { prefix: 'spiffe://mesh.test/' }]),
    'name uri case': names(['URI', { exact: 'SPIFFE://MESH.test/GOOD', ignore_case: true }]),
    'name dns': names(['DNS', { exact: 'a.shop.test' }]),
    'name dns upper': names(['DNS', { exact: 'A.shop.TEST' }]),
    'name dns suffix': names(['DNS', { suffix: '.shop.test' }]),
    'name dns contains': names(['DNS', { contains: 'shop' }]),
    'name dns regex': names(['DNS', { safe_regex: { regex: '[a-z]\\.shop\\.test' } }]),
    'name mail': names(['EMAIL', { exact: 'ops@shop.test' }]),
    'name ip4': names(['IP_ADDRESS', { exact: '10.1.2.3' }]),
    'name ip6': names(['IP_ADDRESS', { exact: '2001:db8::1' }]),
    'name other': names(['OTHER_NAME', { exact: 'user@shop.test' }, { oid: '1.2.3.4' }]),
    'name other, another kind': names(['OTHER_NAME', { prefix: 'u' }, { oid: '1.2.3.5' }]),
    'names of several kinds': names(['DNS', { exact: 'b.test' }], ['EMAIL', { suffix: '@shop.test' }]),
  };
  const server = own(await leaf(root, named({ type: 'dns', value: 'server.test' })));
  const listeners: Record<string, Json> = {};
  for (const [name, validation_context] of Object.entries(validations))
    for (const require_client_certificate of [true, false]) {
      // Lists and kinds of names are the same either way.
      if (!require_client_certificate && /^(crl|name)/.test(name) && !OPTIONAL.includes(name)) continue;
      // Nothing would be requested: Envoy passes over the requirement, Tulle refuses such a file.
      if (name === 'untrusted without' && require_client_certificate) continue;
      const common_tls_context = { tls_certificates: [server], validation_context };
      listeners[`${name}, ${require_client_certificate ? 'required' : 'optional'}`] = listener(
        `${name}, ${require_client_certificate ? 'required' : 'optional'}`,
        manager([{ match: { prefix: '/' }, ...say('in') }], []),
        {
          name: 'tls',
          typed_config: any('transport_sockets.tls.v3.DownstreamTlsContext', {
            common_tls_context,
            require_client_certificate,
          }),
        },
      );
    }
  const clientsOf = (name: string) =>
    Object.keys(clients).filter((client) => {
      if (PLAIN.includes(client)) return true;
      if (name.startsWith('name')) return NAMED.test(client);
      return !NAMED.test(client) && !(name.startsWith('crl') ? FOR_KEYS : FOR_LISTS).test(client);
    });
  return { listeners, clients, validations, clientsOf };
}
