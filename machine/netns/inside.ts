/** The namespace of `tulle run --netns`, seen from inside: its interface, its routes, its rules. */
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { type CaptureOptions, defaultCapture } from '../capture/capture-options.ts';
import { demand } from '../capture/commands.ts';
import { hasIpv6 } from '../capture/findings.ts';
import { nftRules } from '../capture/nft-rules.ts';
import { addRoutes } from '../capture/policy-routes.ts';

/** The ends of a pair that leads nowhere: the kernel routes to the first one what is captured before it gets there. */
const [INTERFACE, PEER] = ['tulle0', 'tulle1'] as const;
/** Source of the command's connections, as the proxy sees it: link-local (RFC 3927), and unique local (RFC 4193). */
const SOURCE = { 4: '169.254.15.1', 6: 'fd74:756c:6c65::1' } as const;
/** In the namespace the user is root, and no process has another id: connections of all are captured. */
const NO_USER = 1;

/** @throws CaptureError naming the program and what it wrote */
export function setUpNamespace(): void {
  const ip = (...words: readonly string[]) => demand('ip', words);
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', INTERFACE, 'type', 'veth', 'peer', 'name', PEER);
  ip('link', 'set', INTERFACE, 'up');
  ip('link', 'set', PEER, 'up');
  const ipv6 = hasIpv6();
  ip('addr', 'add', `${SOURCE[4]}/32`, 'dev', INTERFACE);
  ip('route', 'add', 'default', 'dev', INTERFACE, 'src', SOURCE[4]);
  if (ipv6) {
    ip('-6', 'addr', 'add', `${SOURCE[6]}/128`, 'dev', INTERFACE, 'nodad');
    ip('-6', 'route', 'add', 'default', 'dev', INTERFACE, 'src', SOURCE[6]);
  }
  for (const family of ipv6 ? ([4, 6] as const) : ([4] as const)) addRoutes(family);
  demand('nft', ['-f', '-'], nftRules(optionsOf(ipv6)));
}

const optionsOf = (ipv6: boolean): CaptureOptions => ({
  ...defaultCapture(NO_USER),
  dnsPort: CAPTURE_PORTS.dns,
  ipv6,
});
