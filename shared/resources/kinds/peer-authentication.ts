import { checkPeerAuthentication } from '../checks/peer-authentication.ts';
import { AGE, column } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { PeerAuthenticationSpec } from '../schema/peer-authentication.ts';
import { defineIstioKind, SECURITY_VERSIONS } from './istio-kind.ts';

export const peerAuthentication = defineIstioKind({
  kind: 'PeerAuthentication',
  group: 'security.istio.io',
  versions: SECURITY_VERSIONS,
  plural: 'peerauthentications',
  shortNames: ['pa'],
  spec: PeerAuthenticationSpec,
  columns: [column('Mode', '.spec.mtls.mode', 'mTLS mode'), AGE],
  description: 'Whether workloads accept mutual TLS, plain text or both.',
  check: checkPeerAuthentication,
});
export type PeerAuthentication = ResourceOf<typeof peerAuthentication>;
