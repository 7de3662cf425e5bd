%% What a message to a room goes through before the room gets it: the check of words.py, here or over HTTP.
%%
%% Both run in the process of the sender's own connection, so that 32 senders have 32 checks under way. Rooms are told
%% apart by their names.
-module(mod_bench_processor).
-behaviour(gen_mod).

-export([start/2, stop/1, reload/3, depends/2, mod_opt_type/1, mod_options/1, mod_doc/0, check/1]).

-include("xmpp.hrl").

-define(DENIED, <<"the-word-nobody-may-say">>).

start(Host, _Opts) ->
    {ok, _} = application:ensure_all_started(inets),
    ok = httpc:set_options([{max_sessions, 64}, {max_keep_alive_length, 1000000}, {keep_alive_timeout, 120000}]),
    ejabberd_hooks:add(user_send_packet, Host, ?MODULE, check, 50).

stop(Host) ->
    ejabberd_hooks:delete(user_send_packet, Host, ?MODULE, check, 50).

check({#message{type = groupchat, to = #jid{luser = <<"in_process">>}} = Message, State}) ->
    verdict(binary:match(xmpp:get_text(Message#message.body), ?DENIED) /= nomatch, Message, State);
check({#message{type = groupchat, to = #jid{luser = <<"http">>} = To} = Message, State}) ->
    Event = {[{<<"EventType">>, <<"CHANNEL_MESSAGE_EVENT">>},
              {<<"CallbackId">>, Message#message.id},
              {<<"ChannelMessage">>,
               {[{<<"MessageId">>, Message#message.id},
                 {<<"ChannelArn">>, jid:encode(To)},
                 {<<"Content">>, xmpp:get_text(Message#message.body)},
                 {<<"Sender">>, {[{<<"Arn">>, jid:encode(Message#message.from)}]}},
                 {<<"Persistence">>, <<"PERSISTENT">>},
                 {<<"Type">>, <<"STANDARD">>}]}}]},
    Request = {os:getenv("BENCH_PROCESSOR"), [], "application/json", jiffy:encode(Event)},
    {ok, {{_, 200, _}, _, Answer}} =
        httpc:request(post, Request, [{timeout, 2500}], [{body_format, binary}, {socket_opts, [{nodelay, true}]}]),
    verdict(Answer == <<"deny">>, Message, State);
check(Acc) ->
    Acc.

verdict(true, _, State) -> {stop, {drop, State}};
verdict(false, Message, State) -> {Message, State}.

reload(_Host, _NewOpts, _OldOpts) -> ok.
depends(_Host, _Opts) -> [].
mod_opt_type(_) -> [].
mod_options(_Host) -> [].
mod_doc() -> #{}.
