/** A message inside an Any, read by the schema of the one who knows its type. */
import type { z } from 'zod';
import { type AnyMessage, messageName } from '../../shared/xds/message.ts';
import { ConfigFault, pathText } from '../config-error.ts';

/**
 * @param alreadyRead schemas that were applied when the resource was read: a message is not read twice by the same one
 * @returns the message without its type. Throws ConfigFault naming the field below `path`.
 */
export function readMessage<Message>(
  any: AnyMessage,
  schema: z.ZodType<Message>,
  alreadyRead: Readonly<Record<string, z.ZodType>>,
  path: string,
): Message {
  const { '@type': type, ...fields } = any;
  if (alreadyRead[messageName(type)] === schema) return fields as Message;
  const parsed = schema.safeParse(fields);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new ConfigFault([path, ...(issue.path.length > 0 ? [pathText(issue.path)] : [])].join('.'), issue.message);
}
