import litellm
from answers import ASK, complete
from extract_thinker import LLM, Contract


class Person(Contract):
    name: str
    age: int


litellm.completion = lambda **request: litellm.ModelResponse(**complete(**request))
assert LLM("gpt-4o-mini").request(ASK, Person) == Person(name="Anna", age=25)
