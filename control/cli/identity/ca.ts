/** `tulle ca show|rotate|retire`: the roots of the mesh. */
import type { Command } from 'commander';
import { type ClientFlags, client, output } from '../command-options.ts';
import { ControlApi } from '../connection.ts';
import { outputFormat, print, table } from '../output.ts';

/** `GET /v1/ca`. */
interface CaState {
  phase: 'single' | 'announced' | 'issuing';
  roots: { subject: string; sha256: string; notAfter: string; issues: boolean }[];
  /** Ids of proxies. */
  waitingFor: string[];
  oldValidUntil?: string;
}

export function registerCaCommands(program: Command): void {
  const ca = program.command('ca').description('The certificate authority: its roots, and their change.');
  client(
    ca
      .command('show')
      .description('The roots that the mesh trusts, which of them issues, and what a rotation waits for.'),
  )
    .addOption(output())
    .action((flags: ClientFlags) => ask(flags, 'GET', '/v1/ca'));
  client(
    ca
      .command('rotate')
      .description(
        'Make a new root. It issues once every connected proxy trusts it; the old one stays trusted until it is retired.',
      ),
  )
    .addOption(output())
    .action((flags: ClientFlags) => ask(flags, 'POST', '/v1/ca/rotate', {}));
  client(
    ca
      .command('retire')
      .description(
        'Trust the old root no more. It happens by itself once its certificates, and --rejoin-grace, have ended.',
      ),
  )
    .option('--force', 'also while certificates of the old root are valid: their holders are cut off')
    .addOption(output())
    .action(({ force, ...flags }: ClientFlags & { force?: boolean }) =>
      ask(flags, 'POST', '/v1/ca/retire', force ? { force } : {}),
    );
}

async function ask(flags: ClientFlags, method: string, path: string, body?: object): Promise<void> {
  const format = outputFormat(flags.output);
  const state = await ControlApi.from(flags).call<CaState>(method, path, body);
  print(format, state, () => shown(state));
}

const PHASES = {
  single: () => 'one root',
  announced: ({ waitingFor }: CaState) =>
    waitingFor.length === 0
      ? 'the new root is distributed and issues within seconds'
      : `the new root is distributed; waiting for ${waitingFor.join(', ')}`,
  issuing: ({ oldValidUntil }: CaState) =>
    `the new root issues; certificates of the old one are valid until ${oldValidUntil}`,
} as const;

function shown(state: CaState): string {
  const rows = state.roots.map(({ subject, sha256, notAfter, issues }) => [
    subject,
    sha256,
    notAfter,
    issues ? 'yes' : '',
  ]);
  return `${table(['ROOT', 'SHA-256', 'VALID UNTIL', 'ISSUES'], rows)}\n${PHASES[state.phase](state)}`;
}
