/** The commands for the history of resources. */
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type ClientFlags, client, output, someWords } from '../command-options.ts';
import { ControlApi } from '../connection.ts';
import { outputFormat } from '../output.ts';

const ONE = 'one resource: vs/reviews, or vs reviews';

export function registerHistoryCommands(program: Command): void {
  const history = program
    .command('history')
    .description(
      'What writes left of a resource: revision, time, user. With --revision what that write changed; with -o yaml too, the resource as it left it.',
    );
  client(history)
    .argument('[type and name...]', ONE)
    .option('--revision <number>', 'one write')
    .addOption(output())
    .action(async (words: string[], flags: ClientFlags & { revision?: string }) => {
      const { oneResource, showHistory, showRevision } = await import('./history.ts');
      const selected = oneResource('history', someWords('history', words));
      const format = outputFormat(flags.output);
      const revision = flags.revision === undefined ? undefined : revisionOf('--revision', flags.revision);
      const api = ControlApi.from(flags);
      const namespace = flags.namespace ?? api.namespace;
      if (revision === undefined) await showHistory(api, selected, { namespace, format });
      else await showRevision(api, selected, { namespace, format, revision });
    });
  const rollback = program
    .command('rollback')
    .description(
      'Write what a revision held as a new revision: content, labels and annotations. What was deleted is created.',
    );
  client(rollback)
    .argument('[type and name...]', ONE)
    .requiredOption('--to <revision>', 'as tulle history lists it')
    .option('--dry-run', 'let the server judge, write nothing')
    .action(async (words: string[], flags: ClientFlags & { to: string; dryRun?: true }) => {
      const { oneResource } = await import('./history.ts');
      const { rollback } = await import('./rollback.ts');
      const selected = oneResource('rollback', someWords('rollback', words));
      const to = revisionOf('--to', flags.to);
      const api = ControlApi.from(flags);
      const namespace = flags.namespace ?? api.namespace;
      await rollback(api, selected, { namespace, to, dryRun: flags.dryRun ?? false });
    });
}

function revisionOf(flag: string, text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text);
  throw new CliError(`${flag} ${text}: must be a revision as tulle history lists it`);
}
