/** The runtime of a gateway: endpoints behind NAT are reached by tunnels, all others as they are. */
import type { ConnectionHandler, DialTarget, Runtime, TlsContext, TunnelTarget } from '../runtime/runtime.ts';
import { TunnelDial } from './tunnel-dial.ts';
import type { TunnelRegistry } from './tunnel-registry.ts';

type TunnelledTarget = DialTarget & { readonly tunnel: TunnelTarget };

export function withTunnels(runtime: Runtime, tunnels: Pick<TunnelRegistry, 'connect'>): Runtime {
  const added: Pick<Runtime, 'connect'> = {
    connect(to, tls, handler, onOpen) {
      if (!isTunnelled(to)) return runtime.connect(to, tls, handler, onOpen);
      if (!tls) return tunnels.connect(to, handler, onOpen);
      const dial = new TunnelDial(handler, onOpen);
      connectSecurely(runtime, tunnels, to, tls, dial);
      return dial;
    },
  };
  return Object.create(runtime, Object.getOwnPropertyDescriptors(added)) as Runtime;
}

const isTunnelled = (to: DialTarget): to is TunnelledTarget => to.tunnel !== undefined;

function connectSecurely(
  runtime: Runtime,
  tunnels: Pick<TunnelRegistry, 'connect'>,
  to: TunnelledTarget,
  tls: TlsContext,
  dial: TunnelDial,
): void {
  const handler: ConnectionHandler = {
    onData() {},
    onDrain() {},
    onEnd() {},
    onClose: (error) => dial.onFailed(error),
  };
  const opening = tunnels.connect(to, handler, (plain) => {
    dial.cancels(() => plain.destroy());
    runtime.connectOver(plain, tls, handler, (secure) => dial.onOpen(secure));
  });
  dial.cancels(() => opening.destroy());
}
