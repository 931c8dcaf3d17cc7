"""Functions whose calls become examples for fine-tuning, and functions that a fine-tuned model takes over."""

from __future__ import annotations

import ast
import enum
import functools
import inspect
import json
import logging
import textwrap
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, cast, overload

from pydantic import BaseModel

from instructor.client import Instructor
from instructor.dsl.schema import generate_openai_schema
from instructor.exceptions import ConfigurationError
from instructor.factory import from_openai, from_provider
from instructor.messages import Messages

P = ParamSpec("P")
R = TypeVar("R", bound=BaseModel)
_Tracked: TypeAlias = Callable[..., BaseModel]
_Arguments: TypeAlias = Mapping[str, object]


class FinetuneFormat(enum.Enum):
    """What a line of the log holds."""

    MESSAGES = "messages"
    """A conversation that ends with the function call, as OpenAI's fine-tuning takes it."""
    RAW = "raw"
    """The function's name and source, its arguments and its result."""


class Instructions:
    """Logs what functions return as lines for fine-tuning, and lets a model answer in their place.

    Args:
        name: The logger's name. Default: a new one.
        id: What tells this set apart. Default: a new one.
        log_handlers: Where lines go, such as ``[logging.FileHandler("calls.jsonl")]``.
        finetune_format: What a line holds.
        indent: Spaces by which the arguments' JSON is indented in a line of messages; None for one line.
        include_code_body: Whether the model is shown the function's body, beside its signature and docstring.
        openai_client: Whom to ask for ``mode="dispatch"``: an `Instructor`, or a client of the openai SDK. Default:
            ``from_provider("openai/...")`` with the function's model.

    Example:
        >>> class Product(BaseModel):
        ...     result: int
        >>> instructions = Instructions(name="products")
        >>> @instructions.distil
        ... def multiply(a: int, b: int) -> Product:
        ...     '''Multiply two numbers.'''
        ...     return Product(result=a * b)
        >>> multiply(2, 3)
        Product(result=6)
    """

    def __init__(
        self,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 - its name in 1.x
        log_handlers: Sequence[logging.Handler] | None = None,
        finetune_format: FinetuneFormat = FinetuneFormat.MESSAGES,
        indent: int | None = 2,
        include_code_body: bool = False,
        openai_client: Any = None,
    ) -> None:
        self.name = name
        self.id = id or str(uuid.uuid4())
        self.unique_id = f"{name or 'instructions'}.{self.id}"
        self.finetune_format = FinetuneFormat(finetune_format)
        self.indent = indent
        self.include_code_body = include_code_body
        self.client = openai_client
        self.logger = logging.getLogger(name or self.unique_id)
        self.logger.setLevel(logging.INFO)  # the root's level, WARNING, would drop every line
        for handler in log_handlers or ():
            self.logger.addHandler(handler)

    @overload
    def distil(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def distil(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        mode: Literal["distil", "dispatch"] = "distil",
        model: str | None = None,
        fine_tune_format: FinetuneFormat | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def distil(
        self,
        function: _Tracked | None = None,
        /,
        *,
        name: str | None = None,
        mode: Literal["distil", "dispatch"] = "distil",
        model: str | None = None,
        fine_tune_format: FinetuneFormat | None = None,
    ) -> Any:
        """Decorate a function whose return type is a pydantic model.

        Args:
            function: The function, where the decorator has no arguments.
            name: Its name in the log and for the model. Default: its own.
            mode: ``"distil"`` calls it and logs the call; ``"dispatch"`` asks a model in its place.
            model: The model to ask, for ``"dispatch"``.
            fine_tune_format: What a line holds, in place of the instance's.

        Raises:
            ConfigurationError: The mode is unknown, or the function's return type isn't a pydantic model.
        """
        if mode not in ("distil", "dispatch"):
            raise ConfigurationError(f'mode is {mode!r}. Pass "distil" or "dispatch".')

        def decorate(target: _Tracked) -> _Tracked:
            returns = _return_model(target)

            @functools.wraps(target)
            def call(*args: object, **kwargs: object) -> BaseModel:
                if mode == "dispatch":
                    return self._ask(target, args, kwargs, returns, name, model)
                answer = target(*args, **kwargs)
                self.track(target, args, kwargs, answer, name, fine_tune_format or self.finetune_format)
                return answer

            return call

        return decorate if function is None else decorate(function)

    def track(
        self,
        fn: _Tracked,
        args: tuple[object, ...],
        kwargs: _Arguments,
        resp: BaseModel,
        name: str | None = None,
        finetune_format: FinetuneFormat = FinetuneFormat.MESSAGES,
    ) -> None:
        """Log one call: a line of JSON.

        Args:
            fn: The function.
            args: Its positional arguments.
            kwargs: Its other arguments.
            resp: What it returned.
            name: Its name in the log. Default: its own.
            finetune_format: What the line holds.
        """
        if finetune_format is FinetuneFormat.RAW:
            body: dict[str, object] = {
                "fn_name": name or fn.__name__,
                "fn_repr": _describe(fn, whole=True),
                "args": args,
                "kwargs": dict(kwargs),
                "resp": resp.model_dump(mode="json"),
                "schema": type(resp).model_json_schema(),
            }
        else:
            schema = generate_openai_schema(type(resp))
            arguments = json.dumps(resp.model_dump(mode="json"), indent=self.indent)
            answer = {"role": "assistant", "function_call": {"name": schema["name"], "arguments": arguments}}
            body = {"messages": [*self._messages(fn, args, kwargs, name), answer], "functions": [schema]}
        self.logger.info("%s", json.dumps(body, default=str))

    def _ask(
        self,
        function: _Tracked,
        args: tuple[object, ...],
        kwargs: _Arguments,
        returns: type[BaseModel],
        name: str | None,
        model: str | None,
    ) -> BaseModel:
        if model is None and not isinstance(self.client, Instructor):
            raise ConfigurationError('mode="dispatch" needs the model to ask: @instructions.distil(model=...).')
        client: Any = self.client
        if client is None:
            client = from_provider(f"openai/{model}")
        elif not isinstance(client, Instructor):
            client = cast("Instructor", from_openai(client))
        ask: _Tracked = client.create
        return ask(returns, self._messages(function, args, kwargs, name), model=model)

    def _messages(self, function: _Tracked, args: tuple[object, ...], kwargs: _Arguments, name: str | None) -> Messages:
        shown = [*(repr(value) for value in args), *(f"{key}={value!r}" for key, value in kwargs.items())]
        system = f"Return what this function would return:\n\n{_describe(function, whole=self.include_code_body)}"
        return [
            {"role": "system", "content": system},
            {"role": "user", "content": f"{name or function.__name__}({', '.join(shown)})"},
        ]


def _return_model(function: _Tracked) -> type[BaseModel]:
    returns = inspect.signature(function, eval_str=True).return_annotation
    if isinstance(returns, type) and issubclass(returns, BaseModel) and returns is not BaseModel:
        return returns
    raise ConfigurationError(f"{function.__name__} must say that it returns a pydantic model: def f(...) -> User.")


def _describe(function: _Tracked, *, whole: bool) -> str:
    """The source of a function without its decorators; only signature and docstring, unless it is to be whole."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # typed at a prompt
        return f"def {function.__name__}{inspect.signature(function)}: ..."
    source = cast("ast.FunctionDef", tree.body[0])
    source.decorator_list = []
    if not whole:
        source.body = source.body[:1] if ast.get_docstring(source) else [ast.Expr(ast.Constant(...))]
    return ast.unparse(source)
