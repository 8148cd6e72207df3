/** The control plane as a library: what `tulle control` runs, in the caller's process. */

import { startControlPlane as start } from '../control/control-plane.ts';
import pkg from '../package.json' with { type: 'json' };

export interface ControlPlaneOptions {
  /** Where everything durable lives; made with mode 0700. */
  readonly data: string;
  /** Default `127.0.0.1`. */
  readonly address?: string;
  /** Default 0: chosen by the kernel. */
  readonly port?: number;
  /** Further DNS names by which proxies reach the server. */
  readonly dnsNames?: readonly string[];
  /** Further addresses. */
  readonly ips?: readonly string[];
  /** SPIFFE trust domain. Default `cluster.local`. */
  readonly trustDomain?: string;
  /** Lifetime of certificates in seconds. Default 24 hours. */
  readonly svidTtl?: number;
  /** Takes one line at a time, without secrets. Default: nothing. */
  readonly log?: (line: string) => void;
}

export interface ControlPlane {
  readonly url: string;
  readonly port: number;
  /** PEM roots of the mesh. */
  readonly trustBundle: string;
  /** Set at the first start only: it is kept hashed and cannot be shown again. */
  readonly adminToken: string | undefined;
  stop(): Promise<void>;
}

/** @throws Error in one line naming what is in the way: port in use, data locked by another process, broken key files */
export function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { data, address = '127.0.0.1', port = 0, dnsNames = [], ips = [] } = options;
  const { trustDomain = 'cluster.local', svidTtl = 86_400, log = () => {} } = options;
  return start({ data, address, port, dnsNames, ips, trustDomain, svidTtl, log, version: pkg.version });
}
