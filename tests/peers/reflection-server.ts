/** A grpc-js server with reflection (grpc.reflection.v1), written with what proto-loader knows of the service. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceClientConstructor,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const HELLO = `
syntax = "proto3";
package test;
message Words { string text = 1; int32 times = 2; }
service Hello {
  rpc Say(Words) returns (Words);
  rpc Repeat(Words) returns (stream Words);
  rpc Echo(stream Words) returns (stream Words);
}
`;
/** Of github.com/grpc/grpc, "GRPC Server Reflection Protocol": the messages that grpcurl uses, by their numbers. */
const REFLECTION = `
syntax = "proto3";
package grpc.reflection.v1;
message ServerReflectionRequest {
  string host = 1;
  oneof message_request {
    string file_by_filename = 3;
    string file_containing_symbol = 4;
    string list_services = 7;
  }
}
message FileDescriptorResponse { repeated bytes file_descriptor_proto = 1; }
message ServiceResponse { string name = 1; }
message ListServiceResponse { repeated ServiceResponse service = 1; }
message ErrorResponse { int32 error_code = 1; string error_message = 2; }
message ServerReflectionResponse {
  string valid_host = 1;
  ServerReflectionRequest original_request = 2;
  oneof message_response {
    FileDescriptorResponse file_descriptor_response = 4;
    ListServiceResponse list_services_response = 6;
    ErrorResponse error_response = 7;
  }
}
service ServerReflection {
  rpc ServerReflectionInfo(stream ServerReflectionRequest) returns (stream ServerReflectionResponse);
}
`;

interface Words {
  text: string;
  times: number;
}
interface Asked {
  list_services?: string;
  file_containing_symbol?: string;
}

/** @param folder for the protocol's files */
export async function startReflectionServer(folder: string): Promise<{ port: number; stop(): void }> {
  const load = (name: string, text: string) => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return loadSync(file, { keepCase: true, defaults: true, oneofs: true });
  };
  const hello = load('hello.proto', HELLO);
  const serviceOf = (definition: ReturnType<typeof load>, ...path: string[]) => {
    let at = loadPackageDefinition(definition) as unknown as Record<string, unknown>;
    for (const name of path) at = at[name] as Record<string, unknown>;
    return (at as unknown as ServiceClientConstructor).service;
  };
  const files = (hello['test.Words'] as unknown as { fileDescriptorProtos: Buffer[] }).fileDescriptorProtos;
  const server = new Server();
  const answers = {
    Say: ({ request }: { request: Words }, answer: (error: null, words: Words) => void) =>
      answer(null, { ...request, text: `you said ${request.text}` }),
    Repeat: (call: { request: Words; write(words: Words): void; end(): void }) => {
      for (let i = 0; i < call.request.times; i++) call.write({ text: call.request.text, times: i });
      call.end();
    },
    Echo: (call: ServerDuplexStream<Words, Words>) => {
      call.on('data', (words: Words) => void call.write(words));
      call.on('end', () => call.end());
    },
  };
  server.addService(serviceOf(hello, 'test', 'Hello'), answers as unknown as UntypedServiceImplementation);
  const reflection = {
    ServerReflectionInfo: (call: ServerDuplexStream<Asked, object>) => {
      call.on('data', (original_request: Asked) => {
        if (original_request.list_services !== undefined)
          call.write({ original_request, list_services_response: { service: [{ name: 'test.Hello' }] } });
        else if (original_request.file_containing_symbol?.startsWith('test.'))
          call.write({ original_request, file_descriptor_response: { file_descriptor_proto: files } });
        else call.write({ original_request, error_response: { error_code: 5, error_message: 'not found' } });
      });
      call.on('end', () => call.end());
    },
  };
  const protocol = load('reflection.proto', REFLECTION);
  server.addService(
    serviceOf(protocol, 'grpc', 'reflection', 'v1', 'ServerReflection'),
    reflection as unknown as UntypedServiceImplementation,
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}
