/** SVIDs of Tulle's own authority as files, and the TLS contexts that Envoy and Tulle both read. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Authority, openAuthority } from '../../../control/ca/authority.ts';
import { createCsr } from '../../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../../shared/identity/keys.ts';
import { any } from '../shared-file/bootstrap.ts';

export interface SvidFiles {
  readonly id: string;
  readonly cert: string;
  readonly key: string;
  readonly roots: string;
}

export const authorityIn = (folder: string): Promise<Authority> =>
  openAuthority({ folder, trustDomain: 'cluster.local' });

/** @param folder where the files go @param account the service account in namespace `default` */
export async function svidFiles(authority: Authority, folder: string, account: string): Promise<SvidFiles> {
  const keys = await generateKeys();
  const id = `spiffe://${authority.trustDomain}/ns/default/sa/${account}`;
  const { certificateChain } = await authority.issue(await createCsr(keys, id), id);
  const file = (name: string, content: string) => {
    const path = join(folder, `${account}-${name}.pem`);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  return {
    id,
    cert: file('cert', certificateChain),
    key: file('key', await exportPrivateKey(keys.privateKey)),
    roots: file('roots', authority.trustBundle),
  };
}

const context = (own: SvidFiles, peer: string) => ({
  // Envoy's clients stop at TLS 1.2 unless configured.
  tls_params: { tls_minimum_protocol_version: 'TLSv1_2', tls_maximum_protocol_version: 'TLSv1_3' },
  tls_certificates: [{ certificate_chain: { filename: own.cert }, private_key: { filename: own.key } }],
  validation_context: {
    trusted_ca: { filename: own.roots },
    match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: peer } }],
  },
  alpn_protocols: ['istio'],
});

/** @param peer the only SPIFFE id let in */
export const serverSocket = (own: SvidFiles, peer: string) => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: any('transport_sockets.tls.v3.DownstreamTlsContext', {
    common_tls_context: context(own, peer),
    require_client_certificate: true,
  }),
});
/** @param peer the only SPIFFE id spoken to */
export const clientSocket = (own: SvidFiles, peer: string) => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
    common_tls_context: context(own, peer),
    sni: 'outbound_.80_._.server.default.svc.cluster.local',
  }),
});
