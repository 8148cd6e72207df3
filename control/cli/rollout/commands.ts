/** `tulle rollout status|pause|promote|undo`: changes that a RolloutPolicy brings to the proxies in steps. */
import type { Command } from 'commander';
import { kinds } from '../../../shared/resources/index.ts';
import { CliError } from '../cli-error.ts';
import { type ClientFlags, client, output } from '../command-options.ts';
import { ControlApi } from '../connection.ts';
import { age, outputFormat, print, table } from '../output.ts';

/** One row of `GET /v1/rollouts`. */
interface RolloutRow {
  kind: string;
  namespace: string;
  name: string;
  policy: string;
  phase: string;
  change: string;
  step: number;
  steps: number;
  cohort?: string;
  reason: string;
  began: string;
  proxies: { have: number; of: number };
}

type StatusFlags = ClientFlags & { allNamespaces?: boolean };

export function registerRolloutCommands(program: Command): void {
  const rollout = program
    .command('rollout')
    .description('Changes that come to the proxies in steps (RolloutPolicy): where they are, and decisions by hand.');
  client(rollout.command('status').description('The changes that are being rolled out, wait, or were reverted.'))
    .argument('[target]', 'one of them, as virtualservice/reviews')
    .option('-A, --all-namespaces', 'those of every namespace')
    .addOption(output())
    .action(async (target: string | undefined, flags: StatusFlags) => {
      const format = outputFormat(flags.output);
      const api = ControlApi.from(flags);
      const namespace = flags.allNamespaces ? undefined : (flags.namespace ?? api.namespace);
      const query = namespace === undefined ? '' : `?namespace=${encodeURIComponent(namespace)}`;
      const { rollouts } = await api.call<{ rollouts: RolloutRow[] }>('GET', `/v1/rollouts${query}`);
      const wanted = target === undefined ? undefined : targetOf('status', target);
      const found = rollouts.filter(({ kind, name }) => !wanted || (wanted.kind === kind && wanted.name === name));
      print(format, found, () => shown(found, wanted ? `${wanted.kind} ${wanted.name}` : undefined));
    });
  decision(rollout, 'pause', 'Stay at the present step until "promote"; what does harm is reverted all the same.');
  decision(rollout, 'promote', 'Begin the next step; of a change that was reverted, to the first.', (command) =>
    command.option('--full', 'into force for every proxy at once'),
  );
  decision(rollout, 'undo', 'Take the change back from every proxy. What is stored stays as it is.');
}

function decision(rollout: Command, name: string, about: string, more = (command: Command) => command): void {
  more(client(rollout.command(name).description(about)))
    .argument('<target>', 'the resource that is rolled out, as virtualservice/reviews')
    .addOption(output())
    .action(async (target: string, { full, ...flags }: ClientFlags & { full?: boolean }) => {
      const format = outputFormat(flags.output);
      const api = ControlApi.from(flags);
      const namespace = flags.namespace ?? api.namespace;
      const body = { ...targetOf(name, target), namespace, ...(full && { full }) };
      const row = await api.call<RolloutRow>('POST', `/v1/rollouts/${name}`, body);
      print(format, row, () => shown([row], undefined));
    });
}

/** @throws CliError */
function targetOf(command: string, word: string): { kind: string; name: string } {
  const [type = '', name = '', ...more] = word.split('/');
  const wanted = type.toLowerCase();
  const kind = kinds.find((each) => [each.singular, each.plural, ...each.shortNames].includes(wanted));
  if (kind && name !== '' && more.length === 0) return { kind: kind.kind, name };
  throw new CliError(`rollout ${command}: "${word}" must be KIND/NAME, as virtualservice/reviews`);
}

function shown(rows: readonly RolloutRow[], wanted: string | undefined): string {
  if (rows.length === 0)
    return wanted ? `No change of ${wanted} is being rolled out.` : 'No change is being rolled out.';
  return table(
    ['TARGET', 'CHANGE', 'PHASE', 'STEP', 'PROXIES', 'AGE', 'POLICY', 'DETAILS'],
    rows.map(({ kind, namespace, name, change, phase, step, steps, proxies, began, policy, cohort, reason }) => [
      `${kind.toLowerCase()}/${name}.${namespace}`,
      change,
      phase,
      step === 0 ? '' : `${step}/${steps}`,
      `${proxies.have}/${proxies.of}`,
      age(began),
      policy,
      [cohort, reason].filter(Boolean).join(': '),
    ]),
  );
}
