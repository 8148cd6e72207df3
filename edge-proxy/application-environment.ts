/** The environment of the application that a sidecar starts: how it reaches the mesh. */

type Environment = Readonly<Record<string, string | undefined>>;

/** Hosts that are not called through a proxy, as common clients read them. */
const LOCAL = 'localhost,127.0.0.1,::1';

/**
 * @param inherited the sidecar's own; its `no_proxy` and `NO_PROXY` are kept
 * @param outboundAddress where the sidecar's outbound listeners are
 * @param httpProxy URL of its HTTP proxy, which does not reach those listeners
 */
export function applicationEnvironment(
  inherited: Environment,
  outboundAddress: string | undefined,
  httpProxy: string | undefined,
): Record<string, string | undefined> {
  const environment = { ...inherited };
  if (outboundAddress) environment['TULLE_OUTBOUND_ADDRESS'] = outboundAddress;
  if (httpProxy) {
    environment['http_proxy'] = environment['HTTP_PROXY'] = httpProxy;
    const direct = outboundAddress ? `${LOCAL},${outboundAddress}` : LOCAL;
    if (environment['NO_PROXY'] === undefined) environment['no_proxy'] ??= direct;
  }
  return environment;
}
