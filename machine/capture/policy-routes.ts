/**
 * What brings captured packets to the loopback interface, where TPROXY takes them: a rule for their mark, and a table whose only
 * route delivers every address locally. The address ::6 is what inbound clusters bind as the source (127.0.0.6 needs none).
 */
import { demand, run } from './commands.ts';
import { OUTBOUND_MARK, PASSTHROUGH_SOURCE_6, ROUTE_TABLE, RULE_PRIORITY } from './marks.ts';

const MARK = `0x${OUTBOUND_MARK.toString(16)}/0x${OUTBOUND_MARK.toString(16)}`;
const RULE = ['pref', String(RULE_PRIORITY), 'fwmark', MARK, 'lookup', String(ROUTE_TABLE)];
const route = (family: 4 | 6): string[] => [
  ...['local', family === 4 ? '0.0.0.0/0' : '::/0', 'dev', 'lo', 'table', String(ROUTE_TABLE)],
];

/** @returns whether the host's addresses changed @throws CaptureError */
export function addRoutes(family: 4 | 6): boolean {
  demand('ip', [`-${family}`, 'route', 'replace', ...route(family)]);
  if (!hasRule(family)) demand('ip', [`-${family}`, 'rule', 'add', ...RULE]);
  if (family === 4 || hasPassthroughSource()) return false;
  demand('ip', ['-6', 'addr', 'add', `${PASSTHROUGH_SOURCE_6}/128`, 'dev', 'lo']);
  return true;
}

/** @param source whether ::6 goes too */
export function removeRoutes(family: 4 | 6, source: boolean): void {
  while (hasRule(family)) demand('ip', [`-${family}`, 'rule', 'del', ...RULE]);
  if (hasRoute(family)) demand('ip', [`-${family}`, 'route', 'del', ...route(family)]);
  if (family === 6 && source && hasPassthroughSource())
    demand('ip', ['-6', 'addr', 'del', `${PASSTHROUGH_SOURCE_6}/128`, 'dev', 'lo']);
}

export const hasRoutes = (family: 4 | 6): boolean => hasRule(family) && hasRoute(family);

/** Rules of our priority that are not ours: `ip rule` lines. */
export const foreignRules = (family: 4 | 6): string[] => rulesHere(family).filter((line) => !isOurs(line));

const isOurs = (line: string): boolean => line.includes(`fwmark ${MARK} lookup ${ROUTE_TABLE}`);
const hasRule = (family: 4 | 6): boolean => rulesHere(family).some(isOurs);

const rulesHere = (family: 4 | 6): string[] =>
  run('ip', [`-${family}`, 'rule', 'show', 'pref', String(RULE_PRIORITY)])
    .out.split('\n')
    .map((line) => line.trim())
    .filter(Boolean);

const hasRoute = (family: 4 | 6): boolean =>
  run('ip', [`-${family}`, 'route', 'show', 'table', String(ROUTE_TABLE), 'type', 'local']).out.includes('default');

const hasPassthroughSource = (): boolean =>
  run('ip', ['-6', 'addr', 'show', 'dev', 'lo', 'to', `${PASSTHROUGH_SOURCE_6}/128`]).out.includes('inet6');
