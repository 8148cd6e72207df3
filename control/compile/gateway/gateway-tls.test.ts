/** TLS that Gateways and DestinationRules ask for, beside one certificate and one CA. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { DownstreamTlsContext, Secret } from '../../../shared/xds/tls.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { compileWithNotes } from '../node/node.ts';

const resource = (kind: string, name: string, rest: object): Resource =>
  ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace: 'default' }, ...rest }) as Resource;
const secret = (name: string, stringData: Record<string, string>) =>
  ({ ...resource('Secret', name, { stringData }), apiVersion: 'v1' }) as Resource;
const ROUTER = {
  id: 'router~127.0.0.1~x.default~default.svc.cluster.local',
  metadata: { LABELS: { app: 'x' }, INTERCEPTION_MODE: 'NONE' },
};
const compiled = (resources: Resource[], mesh = '') =>
  compileWithNotes(buildView(resources, 1, parseMeshConfig(mesh)), ROUTER);
const gateway = (tls: object) =>
  resource('Gateway', 'gw', {
    spec: {
      selector: { app: 'x' },
      servers: [{ port: { number: 443, name: 'https', protocol: 'HTTPS' }, hosts: ['a.example'], tls }],
    },
  });

function contextOf(tls: object, more: Resource[] = [], mesh = '') {
  const { snapshot, notes } = compiled([gateway(tls), ...more], mesh);
  const config = snapshot.listeners[0]?.filterChains?.[0]?.transportSocket?.typedConfig as object | undefined;
  if (!config) return { notes, common: undefined, secrets: snapshot.secrets };
  const { '@type': _, ...fields } = config as Record<string, unknown>;
  return { notes, common: DownstreamTlsContext.parse(fields).commonTlsContext!, secrets: snapshot.secrets };
}
const FILES = { serverCertificate: '/c', privateKey: '/k' };

describe('TLS of gateway servers', () => {
  it('has several certificates, of Secrets or files', () => {
    const { common, secrets } = contextOf({ mode: 'SIMPLE', credentialNames: ['rsa', 'ecdsa'] }, [
      secret('rsa', { 'tls.crt': 'C1', 'tls.key': 'K1' }),
      secret('ecdsa', { cert: 'C2', key: 'K2' }),
    ]);
    expect(common!.tlsCertificateSdsSecretConfigs!.map(({ name }) => name)).toEqual([
      'kubernetes://rsa',
      'kubernetes://ecdsa',
    ]);
    expect(secrets.map(({ name }) => name)).toEqual(['kubernetes://ecdsa', 'kubernetes://rsa']);
    const tlsCertificates = [FILES, { serverCertificate: '/c2', privateKey: '/k2' }];
    expect(contextOf({ mode: 'SIMPLE', tlsCertificates }).common!.tlsCertificates).toEqual([
      { certificateChain: { filename: '/c' }, privateKey: { filename: '/k' } },
      { certificateChain: { filename: '/c2' }, privateKey: { filename: '/k2' } },
    ]);
    expect(contextOf({ mode: 'SIMPLE', tlsCertificates: [FILES, {}] }).notes.join()).toMatch(/no certificate is named/);
  });

  it('has revocation lists, of a file or beside the CA of the Secret', () => {
    const files = contextOf({ mode: 'MUTUAL', ...FILES, caCertificates: '/ca', caCrl: '/crl' }).common!;
    expect(files.validationContext).toEqual({ trustedCa: { filename: '/ca' }, crl: { filename: '/crl' } });
    for (const [ca, crl] of [
      ['ca.crt', 'ca.crl'],
      ['cacert', 'crl'],
    ] as const) {
      const { secrets } = contextOf({ mode: 'MUTUAL', credentialName: 'web' }, [
        secret('web', { cert: 'C', key: 'K', [ca]: 'CA', [crl]: 'CRL' }),
      ]);
      const validation = secrets.find(({ name }) => name === 'kubernetes://web-cacert');
      expect(Secret.parse(validation).validationContext).toEqual({
        trustedCa: { inlineString: 'CA' },
        crl: { inlineString: 'CRL' },
      });
    }
  });

  it('takes the CA from the Secret that is named for it, and from no ConfigMap', () => {
    const tls = { mode: 'MUTUAL', credentialName: 'web', caCertCredentialName: 'clients' };
    const { common, secrets } = contextOf(tls, [
      secret('web', { cert: 'C', key: 'K', cacert: 'wrong' }),
      secret('clients', { cacert: 'right' }),
    ]);
    const { name } = common!.combinedValidationContext!.validationContextSdsSecretConfig;
    expect(secrets.find((each) => each.name === name)!.validationContext).toEqual({
      trustedCa: { inlineString: 'right' },
    });
    const { common: none, notes } = contextOf({ ...tls, caCertCredentialName: 'configmap://default/clients' });
    expect(none).toBeUndefined();
    expect(notes.join()).toMatch(/caCertCredentialName .*only Secrets are read: not served/);
  });

  it('lets clients in unverified where configured, and chooses curves', () => {
    const tls = { mode: 'OPTIONAL_MUTUAL', ...FILES, caCertificates: '/ca' };
    expect(contextOf({ ...tls, insecureSkipVerify: true }).common!.validationContext).toMatchObject({
      trustChainVerification: 'ACCEPT_UNTRUSTED',
    });
    expect(contextOf({ ...tls, ecdhCurves: ['P-384'] }).common!.tlsParams).toMatchObject({ ecdhCurves: ['P-384'] });
    const mesh = 'tlsDefaults:\n  ecdhCurves: [P-256, nonsense]\n  cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]\n';
    expect(contextOf(tls, [], mesh).common!.tlsParams).toMatchObject({
      ecdhCurves: ['P-256'],
      cipherSuites: ['ECDHE-RSA-AES256-GCM-SHA384'],
    });
  });
});

describe('TLS that a DestinationRule starts', () => {
  it('has the revocation list of its file', () => {
    const host = 'bank.example';
    const { snapshot } = compiled([
      resource('ServiceEntry', 'bank', {
        spec: { hosts: [host], resolution: 'DNS', ports: [{ number: 443, name: 'tls', protocol: 'TLS' }] },
      }),
      resource('DestinationRule', 'bank', {
        spec: { host, trafficPolicy: { tls: { mode: 'SIMPLE', caCertificates: '/ca', caCrl: '/crl' } } },
      }),
    ]);
    const cluster = snapshot.clusters.find(({ name }) => name === `outbound|443||${host}`)!;
    expect(cluster.transportSocket!.typedConfig).toMatchObject({
      commonTlsContext: { validationContext: { trustedCa: { filename: '/ca' }, crl: { filename: '/crl' } } },
    });
  });
});
