/** The commands for resources, with kubectl's names and flags: apply, get, describe, delete. */
import { type Command, Option } from 'commander';
import { CliError } from '../cli-error.ts';
import {
  type ClientFlags,
  client,
  type FileFlags,
  fileOptions,
  files,
  someWords,
  sourcePaths,
} from '../command-options.ts';
import { ControlApi } from '../connection.ts';

const SELECT = 'types and names: vs, vs,dr, vs reviews, vs/reviews dr/reviews';
const SELECTOR = 'label selector, as app=reviews,tier!=db';

export function registerResourceCommands(program: Command): void {
  registerApply(program);
  registerGet(program);
  registerDescribe(program);
  registerDelete(program);
}

function registerApply(program: Command): void {
  const apply = program
    .command('apply')
    .description(
      'Create or update resources: sets what the files say, removes what they no longer say, keeps what others wrote. If any is invalid, nothing is written.',
    );
  files(client(apply), 'what to apply')
    .option('--dry-run [mode]', 'write nothing: client validates here, server (the default) asks the server too')
    .option('--validate <policy>', 'unknown and duplicate fields: strict, warn or ignore', 'strict')
    .action(async (flags: ClientFlags & FileFlags & { dryRun?: string | boolean; validate: string }) => {
      const { apply, dryRunFlag, fieldValidationFlag } = await import('./apply.ts');
      const options = { dryRun: dryRunFlag(flags.dryRun), fields: fieldValidationFlag(flags.validate) };
      const api = ControlApi.from(flags);
      await apply(api, sourcePaths(flags), flags.namespace ?? api.namespace, options);
    });
}

type GetFlags = ClientFlags & {
  allNamespaces?: boolean;
  selector?: string;
  watch?: boolean;
  headers: boolean;
  ignoreNotFound?: boolean;
};

function registerGet(program: Command): void {
  const get = program
    .command('get')
    .description('List or show resources: tulle get virtualservices; tulle get vs,dr -A; tulle get vs/reviews -o yaml');
  client(get)
    .argument('[types and names...]', SELECT)
    .option('-A, --all-namespaces', 'in every namespace')
    .option('-l, --selector <selector>', SELECTOR)
    .option('-w, --watch', 'then print every change until interrupted')
    .option('--no-headers', 'no heads of columns')
    .option('--ignore-not-found', 'no error for named resources that do not exist')
    .addOption(
      new Option(
        '-o, --output <format>',
        'table, wide, name, json, yaml, jsonpath=TEMPLATE, jsonpath-file=FILE',
      ).default('table'),
    )
    .action(async (words: string[], flags: GetFlags) => {
      const { get } = await import('./get.ts');
      const api = ControlApi.from(flags);
      const { selector, watch = false, headers, ignoreNotFound = false, allNamespaces = false } = flags;
      process.exitCode = await get(api, someWords('get', words), {
        namespace: flags.namespace ?? api.namespace,
        output: flags.output!,
        ...(selector === undefined ? {} : { selector }),
        ...{ allNamespaces, watch, ignoreNotFound, noHeaders: !headers },
      });
    });
}

function registerDescribe(program: Command): void {
  const describe = program.command('describe').description('Show resources in full: tulle describe vs reviews');
  client(describe)
    .argument('[types and names...]', SELECT)
    .option('-A, --all-namespaces', 'in every namespace')
    .option('-l, --selector <selector>', SELECTOR)
    .action(async (words: string[], flags: ClientFlags & { allNamespaces?: boolean; selector?: string }) => {
      const { describe } = await import('./describe.ts');
      const api = ControlApi.from(flags);
      const { selector, allNamespaces = false } = flags;
      await describe(api, someWords('describe', words), {
        namespace: flags.namespace ?? api.namespace,
        allNamespaces,
        ...(selector === undefined ? {} : { selector }),
      });
    });
}

type DeleteFlags = ClientFlags &
  FileFlags & { selector?: string; all?: boolean; ignoreNotFound?: boolean; dryRun?: string | boolean };

function registerDelete(program: Command): void {
  const remove = program
    .command('delete')
    .description('Delete resources: tulle delete vs reviews; tulle delete vs -l app=old; tulle delete -f shop.yaml');
  fileOptions(client(remove), 'what to delete')
    .argument('[types and names...]', SELECT)
    .option('-l, --selector <selector>', SELECTOR)
    .option('--all', 'all of the type in the namespace')
    .option('--ignore-not-found', 'no error for what does not exist')
    .option('--dry-run [mode]', 'delete nothing: client looks only, server (the default) lets the server judge')
    .action(async (words: string[], flags: DeleteFlags) => {
      const { remove } = await import('./delete.ts');
      if (flags.filename && words.length > 0) throw new CliError('delete: name resources or files (-f), not both');
      if (!flags.filename && words.length === 0) throw new CliError('delete: name a type and a name, or -f FILE');
      const api = ControlApi.from(flags);
      const { selector, dryRun, all = false, ignoreNotFound = false } = flags;
      await remove(api, flags.filename ? { files: sourcePaths(flags) } : { words }, {
        namespace: flags.namespace ?? api.namespace,
        ...{ all, ignoreNotFound },
        ...(selector === undefined ? {} : { selector }),
        ...(dryRun === undefined ? {} : { dryRun }),
      });
    });
}
